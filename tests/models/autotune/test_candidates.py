"""What a config leaves open, and what it forbids."""

from __future__ import annotations

from typing import Any

import pytest

from detector.config.model_settings import Model
from detector.models.autotune.candidates import Candidate, candidates, counts_threads


def names(model: Model, *, calibrated: bool = True, openvino: bool = True) -> list[str]:
    return [f"{form.backend} {form.precision}" for form in candidates(model, calibrated=calibrated, openvino=openvino)]


def test_the_reference_comes_first() -> None:
    first = candidates(Model(), calibrated=True, openvino=True)[0]
    assert first.exact
    assert first.threads == 1


def test_int8_needs_pictures() -> None:
    assert not any("int8" in name for name in names(Model(), calibrated=False))
    assert {"onnxruntime int8", "onnxruntime int8-mixed", "openvino int8"} <= set(names(Model()))


def test_precision_fp32_forbids_all_else() -> None:
    assert set(names(Model(precision="fp32"))) == {"onnxruntime fp32", "openvino fp32"}


def test_openvino_only_where_it_is_installed() -> None:
    assert not any("openvino" in name or "half" in name for name in names(Model(), openvino=False))


def test_threads_that_were_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)))
    assert {form.threads for form in candidates(Model(threads=3), calibrated=True, openvino=True)} == {3}
    assert {form.threads for form in candidates(Model(), calibrated=True, openvino=True)} == {1, 2, 4}


def test_a_form_says_what_it_is() -> None:
    assert str(Candidate(precision="int8-mixed", threads=1)) == "onnxruntime int8-mixed, 1 thread"
    assert not Candidate(backend="openvino").exact
    assert Candidate(precision="int8").calibrated
    assert not Candidate(precision="half").calibrated


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"backend": "onnxruntime"}, "onnxruntime fp32"),
        ({"backend": "openvino"}, "openvino fp32"),
        ({"backend": "openvino", "precision": "fp16"}, "openvino half"),
    ],
)
def test_of_a_configured_backend_only_the_threads_are_open(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], name: str
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)))
    model = Model(**asked)
    assert names(model) == [name] * 3
    assert [form.threads for form in candidates(model, calibrated=True, openvino=True)] == [1, 2, 4]
    assert counts_threads(model)


def test_threads_are_not_counted_where_they_are_set_or_there_is_one_core_or_all_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    assert not counts_threads(Model(backend="onnxruntime", threads=2))
    assert not counts_threads(Model())
    assert not counts_threads(Model(backend="tensorrt"))
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0})
    assert not counts_threads(Model(backend="onnxruntime"))
