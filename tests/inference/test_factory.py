from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from detector.core.errors import ModelError
from detector.inference.backends.base import usable_threads
from detector.inference.factory import load_detector, tensorrt_usable
from detector.inference.tensorrt import gpu, manifest
from detector.inference.tensorrt.library import flavour
from support.engines import ORIN
from support.extras import needs_openvino
from support.graphs import write_constant

ROWS = {"output0": np.zeros((1, 300, 6), np.float32)}


def test_auto_is_onnxruntime(tmp_path: Path) -> None:
    assert load_detector(path=write_constant(tmp_path / "m.onnx", ROWS), name="m").backend == "onnxruntime"


@needs_openvino
def test_openvino_when_asked(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", ROWS)
    assert load_detector(path=path, name="m", backend="openvino").backend == "openvino"


def test_tensorrt_without_an_engine_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_constant(tmp_path / "m.onnx", ROWS)
    if flavour() is None:
        with pytest.raises(ModelError, match="TensorRT is not there: on a Jetson JetPack brings it"):
            load_detector(path=path, name="m", backend="tensorrt")
    monkeypatch.setattr(manifest, "environment", lambda: ORIN)
    with pytest.raises(ModelError, match=r"no engine was built from m\.onnx on this machine: run detector build"):
        load_detector(path=path, name="m", backend="tensorrt")


def test_auto_with_a_gpu_falls_back_to_onnxruntime_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_constant(tmp_path / "m.onnx", ROWS)
    monkeypatch.setattr(gpu, "device_files", lambda: True)
    monkeypatch.setattr(gpu, "tensorrt_there", lambda: True)
    monkeypatch.setattr(manifest, "environment", lambda: ORIN)
    detector = load_detector(path=path, name="m", precision="fp16")
    assert (detector.backend, detector.precision) == ("onnxruntime", "fp32"), "the precision is wanted of the engine"
    assert "onnxruntime runs m.onnx: no engine was built from m.onnx" in caplog.text


def test_without_a_gpu_nothing_is_imported_to_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "device_files", lambda: False)
    monkeypatch.setattr(gpu, "tensorrt_there", lambda: pytest.fail("it was looked for"))
    assert not tensorrt_usable()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file .*none\.onnx"):
        load_detector(path=tmp_path / "none.onnx", name="m")


def test_precision_that_the_file_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is an fp32 model"):
        load_detector(path=write_constant(tmp_path / "m.onnx", ROWS), name="m", precision="int8")


def test_bad_floor_is_the_callers_fault(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="score_floor"):
        load_detector(path=write_constant(tmp_path / "m.onnx", ROWS), name="m", score_floor=2)


def test_threads_follow_the_cores_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    assert usable_threads(0) == min(4, len(allowed))
    assert usable_threads(3) == 3
    os.sched_setaffinity(0, {next(iter(allowed))})
    try:
        assert usable_threads(0) == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "tensorrt"])
def test_o8_a_quantised_file_is_run_by_what_it_is_made_for(
    tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "device_files", lambda: False)
    path = write_constant(tmp_path / "m.onnx", ROWS, metadata={"detector.int8_for": runtime})
    if runtime == "tensorrt":
        with pytest.raises(ModelError, match="quantised for TensorRT, which is not here: use one quantised with"):
            load_detector(path=path, name="m")
        return
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="needs the extra openvino")
    assert load_detector(path=path, name="m").backend == runtime
    assert load_detector(path=path, name="m", backend="onnxruntime").backend == "onnxruntime", (
        "a word of the user's wins"
    )
