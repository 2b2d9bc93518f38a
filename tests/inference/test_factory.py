from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from detector.errors import ModelError
from detector.inference.backends.base import usable_threads
from detector.inference.factory import load_detector
from support.graphs import write_constant

ROWS = {"output0": np.zeros((1, 300, 6), np.float32)}


def test_auto_is_onnxruntime(tmp_path: Path) -> None:
    assert load_detector(path=write_constant(tmp_path / "m.onnx", ROWS), name="m").backend == "onnxruntime"


def test_openvino_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")
    path = write_constant(tmp_path / "m.onnx", ROWS)
    assert load_detector(path=path, name="m", backend="openvino").backend == "openvino"


def test_tensorrt_is_not_there_yet(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", ROWS)
    with pytest.raises(ModelError, match="no TensorRT backend yet: use backend auto or onnxruntime"):
        load_detector(path=path, name="m", backend="tensorrt")
    with pytest.raises(ModelError, match="no TensorRT backend yet"):
        load_detector(path=path.rename(tmp_path / "m.engine"), name="m")


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
