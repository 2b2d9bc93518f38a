from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from detector.core.errors import InferenceError, ModelError
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.tensors import TensorSpec
from support.graphs import write_constant, write_convolution

BOXES = np.arange(12, dtype=np.float32).reshape(1, 2, 6)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, 64, 64), np.float32)


def test_describes_itself(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", {"o": BOXES}, metadata={"task": "detect"})
    backend = OnnxRuntimeBackend(path=path)
    assert backend.inputs == (TensorSpec("images", (1, 3, 64, 64), "float32"),)
    assert backend.outputs == (TensorSpec("o", (1, 2, 6), "float32"),)
    assert (backend.name, backend.precision, backend.provider) == ("onnxruntime", "fp32", "CPUExecutionProvider")
    assert backend.metadata == {"task": "detect"}
    assert len(backend.digest) == 64
    np.testing.assert_array_equal(backend.run(picture())[0], BOXES)


def test_open_lengths_are_none(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", {"o": BOXES}, input_shape=("batch", 3, "height", "width"))
    assert OnnxRuntimeBackend(path=path).inputs[0].shape == (None, 3, None, None)


def test_threads_do_not_spin(tmp_path: Path) -> None:
    backend = OnnxRuntimeBackend(path=write_convolution(tmp_path / "m.onnx"), threads=2)
    options = backend._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == 2


def test_thread_count_must_make_sense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="negative"):
        OnnxRuntimeBackend(path=write_convolution(tmp_path / "m.onnx"), threads=-1)


def test_half_precision_input_is_cast(tmp_path: Path) -> None:
    full = OnnxRuntimeBackend(path=write_convolution(tmp_path / "full.onnx"))
    half = OnnxRuntimeBackend(path=write_convolution(tmp_path / "half.onnx", half=True))
    assert (half.precision, half.inputs[0].dtype) == ("fp16", "float16")
    (wanted,), (found,) = full.run(picture()), half.run(picture())
    np.testing.assert_allclose(found.astype(np.float32), wanted, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("half", [False, True])
def test_precision_is_the_files_own(tmp_path: Path, half: bool) -> None:
    path = write_convolution(tmp_path / "m.onnx", half=half)
    OnnxRuntimeBackend(path=path, precision="fp16" if half else "fp32")
    with pytest.raises(ModelError, match="use precision auto, or a model exported as int8"):
        OnnxRuntimeBackend(path=path, precision="int8")


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        OnnxRuntimeBackend(path=path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_text_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("these are notes")
    assert "not an ONNX model" in refusal(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_file(tmp_path: Path, share: float) -> None:
    path = write_convolution(tmp_path / "cut.onnx")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "cut short" in refusal(path)


def test_missing_second_file(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "big.onnx", {"o": BOXES}, external=True)
    assert OnnxRuntimeBackend(path=path).run(picture())[0].shape == BOXES.shape
    (tmp_path / "big.onnx.data").unlink()
    assert "a second file, big.onnx.data, which is missing" in refusal(path)


def test_future_opset(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "future.onnx", {"o": BOXES}, opset=999)
    message = refusal(path)
    assert "newer ONNX (opset 999)" in message
    assert "update onnxruntime, or export with a lower opset" in message


def test_future_format(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "future.onnx", {"o": BOXES}, ir_version=999)
    assert "newer ONNX (ir version 999)" in refusal(path)


def test_broken_graph(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "broken.onnx")
    path.write_bytes(path.read_bytes().replace(b"Conv", b"Cnov"))
    assert "cannot load broken.onnx: This is an invalid model" in refusal(path)


def test_words_in_the_path_do_not_mislead(tmp_path: Path) -> None:
    folder = tmp_path / "external data, opset 17"
    folder.mkdir()
    path = write_convolution(folder / "broken.onnx")
    path.write_bytes(path.read_bytes().replace(b"Conv", b"Cnov"))
    assert "cannot load broken.onnx" in refusal(path)


def test_failing_run_is_an_inference_error(tmp_path: Path) -> None:
    backend = OnnxRuntimeBackend(path=write_convolution(tmp_path / "m.onnx"))
    with pytest.raises(InferenceError, match="could not run") as caught:
        backend.run(np.zeros((1, 3, 32, 32), np.float32))
    assert "\n" not in str(caught.value)


def test_closed_backend_says_so(tmp_path: Path) -> None:
    backend = OnnxRuntimeBackend(path=write_convolution(tmp_path / "m.onnx"))
    backend.close()
    backend.close()
    with pytest.raises(InferenceError, match="closed"):
        backend.run(picture())


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="pip install onnxruntime"):
        OnnxRuntimeBackend(path=write_convolution(tmp_path / "m.onnx"))


def test_integer_input_is_described(tmp_path: Path) -> None:
    path = write_constant(tmp_path / "m.onnx", {"o": BOXES}, input_type=TensorProto.UINT8)
    assert OnnxRuntimeBackend(path=path).inputs[0].dtype == "uint8"
