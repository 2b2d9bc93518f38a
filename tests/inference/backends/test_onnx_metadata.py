from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.core.errors import ModelError
from detector.inference.backends.onnx_metadata import inspect
from support.graphs import write_constant, write_convolution


def test_digest_and_metadata(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", {"o": np.ones(3, np.float32)}, metadata={"task": "detect", "café": "ü"})
    file = inspect(path)
    assert file.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file.metadata == {"task": "detect", "café": "ü"}


@pytest.mark.parametrize(
    ("half", "quantised", "precision"), [(False, False, "fp32"), (True, False, "fp16"), (False, True, "int8")]
)
def test_precision(tmp_path: Path, half: bool, quantised: bool, precision: str) -> None:
    assert inspect(write_convolution(tmp_path / "m.onnx", half=half, quantised=quantised)).precision == precision


def test_digest_follows_the_weights_in_a_second_file(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", {"o": np.ones(9, np.float32)}, external=True)
    first = inspect(path).digest
    (tmp_path / "m.onnx.data").write_bytes(np.zeros(9, np.float32).tobytes())
    assert inspect(path).digest != first


def test_unreadable_file_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_convolution(tmp_path / "m.onnx")

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")  # root may read anything, so it is acted

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ModelError, match="Permission denied"):
        inspect(path)


@pytest.mark.parametrize("model", ["yolox_tiny_humanart", "yolov10n", "yolox_nano", "yolov8n", "yolo11n"])
def test_known_models_are_fp32(model_file: Callable[[str], Path], model: str) -> None:
    assert inspect(model_file(model)).precision == "fp32"


@pytest.mark.parametrize(
    "content",
    [b"just some text, as a download error page would be", b"\x00" * 100, b"\xff" * 100, bytes(range(256))],
    ids=["text", "zeros", "ones", "bytes"],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX model, or is cut short"):
        inspect(path)


def test_missing_empty_and_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        inspect(tmp_path / "none.onnx")
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match="is empty"):
        inspect(tmp_path / "empty.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        inspect(tmp_path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 10_000))
def test_any_cut_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_convolution(tmp_path / "m.onnx")
    data = path.read_bytes()
    path.write_bytes(data[: -min(cut, len(data) - 1)])
    with pytest.raises(ModelError, match="cut short"):
        inspect(path)
