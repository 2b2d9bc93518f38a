"""The real stage with real child processes and a real worker; only OpenVINO is hidden from the child."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest

from detector.config.schema import Config
from detector.core.clock import SYSTEM_CLOCK
from detector.core.threads import ServiceThread
from detector.core.types import ArrayImage, Frame, Track
from detector.inference.multi_size import MultiSizeDetector
from detector.models.autotune.candidates import Candidate
from detector.models.autotune.choice import Choice, place, read, scenes_of, write
from detector.models.autotune.loader import AutotunedLoader
from detector.models.autotune.samples import GAP_S, SampleQuota, unpack
from detector.models.autotune.status import AutotuneStatus
from detector.models.graph.variants import prepare
from detector.models.loading import resolve
from detector.service.autotuner import Autotuner
from detector.service.live_view import LiveScene, LiveView
from detector.service.runtime import House
from support.inference import DEADLINE_S, RunningInference
from support.networks import network

COMMAND = [
    sys.executable,
    "-c",
    "import sys; sys.modules['openvino'] = None; from detector.models.autotune.worker_process import main; sys.exit(main())",
]
FAILS = [sys.executable, "-c", "import sys; sys.exit('no memory')"]
SHAPE = (160, 128)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    found = tmp_path / "small.onnx"
    onnx.save(network("dense", width=160, height=160), str(found))
    return found


def config(path: Path, **model: Any) -> Config:
    return Config.model_validate(
        {"model": {"name": str(path), "threads": 1, **model}, "cameras": {"a": {"source": "a.mp4"}}}
    )


@dataclass
class _AutotunerHost:
    """The part of the house that the stage looks at; one camera of 640x480."""

    worker: Any
    config: Config
    clock: Any = SYSTEM_CLOCK
    changing: threading.Lock = field(default_factory=threading.Lock)
    cameras: Any = field(
        default_factory=lambda: SimpleNamespace(stats=lambda: {"a": SimpleNamespace(width=640, height=480)})
    )


class _Bench:
    """In the worker's place: shows what it is told to, notes what is swapped in."""

    def __init__(self, detector: MultiSizeDetector) -> None:
        self.detector, self.loading, self.view = detector, False, LiveView()
        self.swapped: list[Any] = []

    def room(self, _name: str) -> Any:
        return SimpleNamespace(view=self.view)

    def swap(self, detector: Any, _load: Any) -> None:
        self.swapped.append((detector.precision, detector.input_size))
        detector.close()


def tuner(rooms: _AutotunerHost, ledger: AutotuneStatus, command: list[str] = COMMAND, **more: Any) -> Autotuner:
    return Autotuner(house=cast("House", rooms), ledger=ledger, command=command, prepare_s=0, settle_s=0, **more)


@pytest.fixture
def kept(path: Path) -> Path:
    """As an earlier start left it: the variant and the choice, made without pictures."""
    found = resolve(config(path).model)
    prepare(found.path, shape=SHAPE)
    for precision in ("auto", "fp32"):
        where = place(config(path, precision=precision).model, found)
        write(where, Choice(taken=Candidate(threads=1), why="-", shapes=(SHAPE,)))
    return place(config(path).model, found)


@pytest.fixture
def bench(path: Path) -> Any:
    detector = AutotunedLoader(config(path).model, resolve(config(path).model))()
    yield _Bench(cast("MultiSizeDetector", detector))
    detector.close()


def test_the_model_serves_at_once_and_the_choice_takes_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.inference.DEADLINE_S", 90.0)  # two processes start and import, one after the other
    shop, ledger = RunningInference(path), AutotuneStatus()
    rooms = _AutotunerHost(worker=shop.worker, config=config(path, precision="fp32"))
    stage = ServiceThread(name="tuning", run=tuner(rooms, ledger).run)
    with shop:
        shop.worker.wait_loaded(DEADLINE_S)
        stage.start()
        shop.feed_until(lambda: ledger.document()["state"] == "settled")
        served = shop.worker.detector
        assert isinstance(served, MultiSizeDetector)
        assert SHAPE in served.shapes
        assert shop.worker.error is None
        assert stage.alive, "a stage that ends would end the service"
        assert stage.join(DEADLINE_S)
    told = ledger.document()
    assert told["taken"] == "onnxruntime fp32, 1 thread"
    assert told["shapes"] == ["160x128"]
    assert [each["refused"] for each in told["candidates"]] == [None]
    assert told["candidates"][0]["ms"] > 0


@pytest.mark.usefixtures("kept")
def test_the_second_start_measures_nothing(path: Path, bench: _Bench) -> None:
    rooms, ledger = _AutotunerHost(worker=bench, config=config(path, precision="fp32")), AutotuneStatus()
    tuner(rooms, ledger, FAILS)._look(threading.Event())
    assert bench.swapped == []
    assert ledger.document()["state"] == "settled"


@pytest.mark.usefixtures("kept")
def test_int8_waits_for_people_in_front_of_the_camera(path: Path, bench: _Bench, tmp_path: Path) -> None:
    rooms, ledger = _AutotunerHost(worker=bench, config=config(path)), AutotuneStatus()
    order = tmp_path / "order"
    keeping = [sys.executable, "-c", f"import sys; open({str(order)!r}, 'wb').write(sys.stdin.buffer.read())"]
    need = SampleQuota(pictures=30, pictures_each=30, visits_each=3, visits=3)
    stage = tuner(rooms, ledger, keeping, need=need)
    stage._look(threading.Event())
    assert "pictures with persons of a" in ledger.document()["note"]
    for seq in range(30):
        bench.view.show(scene(seq, seq * GAP_S))
        stage._look(threading.Event())
    evidence = unpack(order.read_bytes().partition(b"\n")[2])
    assert (len(evidence.calibration), len(evidence.held_out)) == (18, 12)
    assert evidence.scenes == tuple(scenes_of(rooms.config))
    assert evidence.calibration[0].width == 160
    leftovers = [file for file in tmp_path.rglob("*") if file.suffix in (".jpg", ".png", ".npz", ".npy")]
    assert leftovers == [], "nobody's picture is written to the disk"


def scene(seq: int, mono: float) -> LiveScene:
    pixels = np.random.default_rng(seq).integers(0, 256, (480, 640, 3), np.uint8)
    frame = Frame(camera="a", seq=seq, captured_mono=mono, captured_wall=mono, image=ArrayImage(pixels))
    person = Track(id=seq // 6, box=(0, 0, 9, 9), score=0.9, first_mono=mono, last_mono=mono, hits=5, matched=True)
    return LiveScene(frame=frame, people=(person,), moving=True)


def test_a_new_camera_takes_int8_back(path: Path, bench: _Bench, kept: Path) -> None:
    rooms, ledger = _AutotunerHost(worker=bench, config=config(path)), AutotuneStatus()
    variant = next((kept.parents[1] / "variants").glob("*.onnx")).name
    known = Choice(
        taken=Candidate(precision="int8", threads=1),
        why="-",
        shapes=(SHAPE,),
        scenes=tuple(scenes_of(rooms.config)),
        files={SHAPE: variant},
    )
    write(kept, known)
    stage = tuner(rooms, ledger)
    stage._look(threading.Event())
    assert ledger.document()["state"] == "settled"
    bench.swapped.clear()
    cameras = {"a": {"source": "a.mp4"}, "b": {"source": "b.mp4"}}
    rooms.config = Config.model_validate({"model": rooms.config.model.model_dump(), "cameras": cameras})
    stage._look(threading.Event())
    assert len(bench.swapped) == 1
    assert "int8 was made from those of other cameras" in ledger.document()["why"].replace(", 1 thread", "")
    assert "pictures with persons of a, b" in ledger.document()["note"]
    assert read(kept) == known


def test_a_choice_made_by_the_command_is_taken_over_once(path: Path, bench: _Bench, kept: Path) -> None:
    rooms, ledger = _AutotunerHost(worker=bench, config=config(path)), AutotuneStatus()
    stage, stop = tuner(rooms, ledger, FAILS), threading.Event()
    stage._look(stop)
    variant = next((kept.parents[1] / "variants").glob("*.onnx")).name
    made = Choice(
        taken=Candidate(precision="int8", threads=1), why="-", shapes=(SHAPE,), scenes=("b-1",), files={SHAPE: variant}
    )
    write(kept, made)
    stage._look(stop)
    assert bench.swapped == [], "of other cameras' pictures"
    write(kept, replace(made, scenes=tuple(scenes_of(rooms.config))))
    for _ in range(3):
        stage._look(stop)
    assert len(bench.swapped) == 1
    assert (ledger.document()["state"], ledger.document()["taken"]) == ("settled", "onnxruntime int8, 1 thread")
    assert ledger.document()["scenes"] == list(scenes_of(rooms.config))


@pytest.mark.usefixtures("kept")
def test_what_is_known_is_settled_before_the_rush_is_over(path: Path, bench: _Bench) -> None:
    rooms, ledger = _AutotunerHost(worker=bench, config=config(path, precision="fp32")), AutotuneStatus()
    stage = Autotuner(house=cast("House", rooms), ledger=ledger, command=FAILS, prepare_s=0, settle_s=3600)
    stage._look(threading.Event())
    assert ledger.document()["state"] == "settled"


def test_measuring_waits_until_the_rush_is_over(path: Path, bench: _Bench) -> None:
    rooms, ledger = _AutotunerHost(worker=bench, config=config(path, precision="fp32")), AutotuneStatus()
    prepare(path, shape=SHAPE)
    Autotuner(house=cast("House", rooms), ledger=ledger, command=FAILS, prepare_s=0, settle_s=3600)._look(
        threading.Event()
    )
    assert ledger.document()["state"] == "waiting"


def test_a_failure_is_told_and_nothing_changes(path: Path, bench: _Bench) -> None:
    ledger = AutotuneStatus()
    stage = ServiceThread(
        name="tuning", run=tuner(_AutotunerHost(worker=bench, config=config(path)), ledger, FAILS).run
    )
    stage.start()
    deadline = threading.Event()
    for _ in range(200):
        if ledger.document()["state"] == "off":
            break
        deadline.wait(0.1)
    assert ledger.document()["note"] == "measuring failed: no memory"
    assert stage.alive
    assert stage.join(DEADLINE_S)
    assert bench.swapped == []


@pytest.mark.parametrize(("asked", "why"), [({"backend": "onnxruntime"}, "backend onnxruntime is configured")])
def test_what_is_configured_is_not_measured(path: Path, bench: _Bench, asked: dict[str, str], why: str) -> None:
    rooms, ledger = _AutotunerHost(worker=bench, config=config(path, **asked)), AutotuneStatus()
    stage = tuner(rooms, ledger)
    for _ in range(2):
        stage._look(threading.Event())
    assert (ledger.document()["state"], ledger.document()["note"]) == ("off", why)
    assert bench.swapped == [("fp32", SHAPE)], "the exact size is made all the same"
    found = resolve(rooms.config.model)
    again = AutotunedLoader(rooms.config.model, found)
    assert again.choice is None
    detector = again()
    assert cast("MultiSizeDetector", detector).shapes == (SHAPE,), "the next start loads that size and no other"
    detector.close()


@pytest.fixture
def two_cores() -> Iterator[None]:
    """For this process and its children."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one core leaves no choice")
    os.sched_setaffinity(0, sorted(before)[:2])
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("two_cores")
def test_the_threads_of_a_configured_backend_are_measured_once_and_kept(
    path: Path, bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms, ledger = (
        _AutotunerHost(worker=bench, config=config(path, backend="onnxruntime", threads=0)),
        AutotuneStatus(),
    )
    stage = tuner(rooms, ledger)
    for _ in range(3):
        stage._look(threading.Event())
    told = ledger.document()
    assert (told["state"], told["note"]) == ("settled", "backend onnxruntime is configured")
    assert [each["form"] for each in told["candidates"]] == [
        "onnxruntime fp32, 1 thread",
        "onnxruntime fp32, 2 threads",
    ]
    assert bench.swapped == [("fp32", SHAPE)] * 2, "the exact size, then the threads; no third time"
    model = rooms.config.model
    kept = read(place(model, resolve(model)))
    assert kept is not None
    opened: list[int] = []

    def loaded(*, threads: int, **_asked: Any) -> _Loaded:
        opened.append(threads)
        return _Loaded()

    monkeypatch.setattr("detector.models.loading.load_detector", loaded)
    AutotunedLoader(model, resolve(model))()
    assert set(opened) == {kept.taken.threads}

    later = AutotuneStatus()
    again = tuner(rooms, later, FAILS)
    again._look(threading.Event())
    assert later.document()["taken"] == told["taken"], "what was measured is known at once"
    assert later.document()["state"] == "settled"


class _Loaded:
    input_size = (160, 160)

    def close(self) -> None:
        """Nothing to let go of."""
