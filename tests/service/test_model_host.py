from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.core.errors import InferenceError, ModelError
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.service.model_host import FAILURES_BEFORE_RELOAD, ModelHost
from support.inference import WALKER, end_to_end_model
from support.visits import StillClock

Loads = Callable[[str], Callable[[], PersonDetector]]


@pytest.fixture
def loads(tmp_path: Path) -> Loads:
    """A loader of a real small model by its name."""

    def load(name: str) -> Callable[[], PersonDetector]:
        path = end_to_end_model(tmp_path / f"{name}.onnx", [WALKER])
        return lambda: load_detector(path=path, name=name, threads=1)

    return load


def name_of(host: ModelHost) -> str | None:
    return None if host.detector is None else host.detector.model_name


def test_it_loads_once_and_says_so(loads: Loads) -> None:
    host = ModelHost(load=loads("first"), clock=StillClock())
    assert host.loading
    assert host.open()
    host.wait_loaded(0)
    assert (host.loading, name_of(host)) == (False, "first")
    host.close()


def test_a_model_that_cannot_be_loaded_is_raised_where_it_is_waited_for() -> None:
    def load() -> PersonDetector:
        raise ModelError("no such file")

    host = ModelHost(load=load, clock=StillClock())
    assert not host.open()
    with pytest.raises(ModelError, match="no such file"):
        host.wait_loaded(0)


def test_a_model_that_does_not_come_in_time_is_an_error(loads: Loads) -> None:
    with pytest.raises(InferenceError, match="not loaded within 0 s"):
        ModelHost(load=loads("first"), clock=StillClock()).wait_loaded(0)


def test_a_swap_takes_effect_with_the_next_frame(loads: Loads) -> None:
    host = ModelHost(load=loads("first"), clock=StillClock())
    host.open()
    second = loads("second")
    assert host.swap(second(), second)
    assert name_of(host) == "first"
    host.take_next()
    assert name_of(host) == "second"
    host.close()


def test_a_swap_that_is_not_wanted_any_more_changes_nothing(loads: Loads) -> None:
    host = ModelHost(load=loads("first"), clock=StillClock())
    host.open()
    second = loads("second")
    assert not host.swap(second(), second, wanted=lambda: False)
    host.take_next()
    assert name_of(host) == "first"
    host.close()


def test_a_model_that_keeps_failing_is_loaded_again(loads: Loads) -> None:
    clock, stop = StillClock(mono=50.0), threading.Event()
    stop.set()  # its pauses are over at once
    host = ModelHost(load=loads("first"), clock=clock)
    host.open()
    before = host.detector
    for _ in range(FAILURES_BEFORE_RELOAD - 1):
        host.failed(InferenceError("NaN"), stop)
    assert (host.detector, host.error, host.failing_since) == (before, "NaN", 50.0)
    host.failed(InferenceError("NaN"), stop)
    assert host.detector is not before
    host.succeeded()
    assert (host.error, host.failing_since) == (None, None)
    assert "loaded again" in str(host.note), "why is kept after it works again"
    host.close()


class _PassingTime(threading.Event):
    """A stop whose waits are over at once, by its clock."""

    def __init__(self, clock: StillClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now_mono += timeout or 0.0
        return False


@pytest.mark.parametrize("works_between", [False, True])
def test_it_is_loaded_at_most_ten_times_in_300_s(loads: Loads, *, works_between: bool) -> None:
    clock, loaded = StillClock(mono=50.0), []
    host = ModelHost(load=loads("first"), clock=clock)
    host.open()
    stop, before = _PassingTime(clock), host.detector
    while clock.mono() < 2000.0:
        host.failed(InferenceError("NaN"), stop)
        clock.now_mono += 0.1
        if host.detector is not before:
            loaded.append(clock.mono())
            before = host.detector
            if works_between:
                host.succeeded()
    assert len(loaded) > 20, "it goes on trying"
    assert max(sum(at <= each < at + 300.0 for each in loaded) for at in loaded) <= 10
    host.close()


def test_a_smaller_model_stands_in_until_the_full_one_is_restored(loads: Loads) -> None:
    host, small = ModelHost(load=loads("full"), clock=StillClock()), loads("small")
    host.open()
    assert not host.reduced
    host.reduce(small(), small)
    assert (host.reduced, name_of(host)) == (True, "full")
    host.take_next()
    assert (host.reduced, name_of(host)) == (True, "small")
    assert host.full is not None
    assert host.full.model_name == "full"
    smaller = loads("smaller")
    host.reduce(smaller(), smaller)
    host.take_next()
    assert (name_of(host), host.full.model_name) == ("smaller", "full")
    host.restore()
    assert not host.reduced
    host.take_next()
    assert (host.reduced, name_of(host), host.full) == (False, "full", host.detector)
    host.close()


def test_a_swap_while_a_smaller_model_stands_in_is_of_the_full_one(loads: Loads) -> None:
    host, small, other = ModelHost(load=loads("full"), clock=StillClock()), loads("small"), loads("other")
    host.open()
    host.reduce(small(), small)
    host.take_next()
    host.swap(other(), other)
    host.take_next()
    assert name_of(host) == "small"
    host.restore()
    host.take_next()
    assert name_of(host) == "other"
    host.close()


def test_a_smaller_model_that_fails_gives_way_to_the_full_one(loads: Loads) -> None:
    host, small, stop = ModelHost(load=loads("full"), clock=StillClock()), loads("small"), threading.Event()
    host.open()
    stop.set()
    host.reduce(small(), small)
    host.take_next()
    for _ in range(FAILURES_BEFORE_RELOAD):
        host.failed(InferenceError("NaN"), stop)
    assert (host.reduced, name_of(host), host.error) == (False, "full", None)
    assert host.note == "the smaller model failed (NaN): the full one serves again"
    host.close()


def test_one_that_was_offered_and_is_not_wanted_any_more_never_serves(loads: Loads) -> None:
    host, small = ModelHost(load=loads("full"), clock=StillClock()), loads("small")
    host.open()
    host.reduce(small(), small)
    host.restore()
    host.take_next()
    assert (host.reduced, name_of(host)) == (False, "full")
    host.close()
