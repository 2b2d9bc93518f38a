from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from detector.core.errors import InferenceError, ModelError
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.backends.openvino import OpenVinoBackend
from detector.inference.spec import InputSpec
from support.extras import needs_openvino
from support.graphs import write_constant, write_convolution
from support.networks import Head, network


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelError, match=r"pip install 'detector\[openvino\]'"):
        OpenVinoBackend(path=write_convolution(tmp_path / "m.onnx"))


@needs_openvino
def test_nobody_is_told_that_it_runs(tmp_path: Path) -> None:
    if not any(importlib.metadata.distributions(name="openvino-telemetry")):
        pytest.skip("this OpenVINO came without its reporter")
    code = "from detector.inference.backends.openvino import half_precision; half_precision()"
    env = {**os.environ, "HOME": str(tmp_path), "CI": ""}
    env.pop("XDG_CONFIG_HOME", None)
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert list(tmp_path.iterdir()) == []


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 64, 64), np.float32)


@needs_openvino
@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_full_precision_stays_full(tmp_path: Path, precision: str) -> None:
    path = write_convolution(tmp_path / "m.onnx")
    backend = OpenVinoBackend(path=path, precision=precision, threads=1)  # type: ignore[arg-type] # str of the two
    assert (backend.name, backend.precision, backend.provider) == ("openvino", "fp32", "CPU")
    (wanted,), (found,) = OnnxRuntimeBackend(path=path).run(picture()), backend.run(picture())
    # bfloat16, the default on CPUs that have it, is a thousand times farther off.
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@needs_openvino
def test_half_precision_only_when_told_and_named(tmp_path: Path) -> None:
    import openvino

    path = write_convolution(tmp_path / "m.onnx")
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if not {"BF16", "FP16"} & set(able):
        with pytest.raises(ModelError, match="no half precision"):
            OpenVinoBackend(path=path, precision="fp16")
        return
    backend = OpenVinoBackend(path=path, precision="fp16")
    assert backend.precision == ("bf16" if "BF16" in able else "fp16")
    (wanted,), (found,) = OnnxRuntimeBackend(path=path).run(picture()), backend.run(picture())
    np.testing.assert_allclose(found, wanted, rtol=0.05, atol=0.1)


@needs_openvino
def test_describes_itself_as_onnxruntime_does(tmp_path: Path) -> None:
    outputs: dict[str, Any] = {"dets": np.ones((1, 4, 5), np.float32), "labels": np.zeros((1, 4), np.int64)}
    path = write_constant(tmp_path / "m.onnx", outputs, input_shape=(1, 3, "h", "w"), metadata={"task": "detect"})
    one, other = OpenVinoBackend(path=path), OnnxRuntimeBackend(path=path)
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    assert (one.metadata, one.digest) == (other.metadata, other.digest)


@needs_openvino
def test_half_precision_model(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.onnx", half=True)
    (wanted,), (found,) = OnnxRuntimeBackend(path=path).run(picture()), OpenVinoBackend(path=path).run(picture())
    np.testing.assert_allclose(found.astype(np.float32), wanted.astype(np.float32), rtol=0.02, atol=0.02)


@needs_openvino
def test_quantised_model_and_only_that_is_int8(tmp_path: Path) -> None:
    quantised = write_convolution(tmp_path / "q.onnx", quantised=True)
    assert OpenVinoBackend(path=quantised).precision == "int8"
    with pytest.raises(ModelError, match=r"q\.onnx is an int8 model"):
        OpenVinoBackend(path=quantised, precision="fp32")
    with pytest.raises(ModelError, match="exported as int8"):
        OpenVinoBackend(path=write_convolution(tmp_path / "m.onnx"), precision="int8")


@needs_openvino
def test_broken_graph_is_one_line(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "broken.onnx")
    path.write_bytes(path.read_bytes().replace(b"Conv", b"Cnov"))
    with pytest.raises(ModelError, match=r"cannot load broken\.onnx") as caught:
        OpenVinoBackend(path=path)
    assert "\n" not in str(caught.value)


@needs_openvino
def test_failing_and_closed_runs_are_inference_errors(tmp_path: Path) -> None:
    backend = OpenVinoBackend(path=write_convolution(tmp_path / "m.onnx"))
    with pytest.raises(InferenceError, match="could not run"):
        backend.run(np.zeros((1, 3, 32, 32), np.float32))
    backend.close()
    backend.close()
    with pytest.raises(InferenceError, match="closed"):
        backend.run(picture())


@needs_openvino
def test_what_it_would_run_wrongly_is_refused(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.onnx", quantised=True)
    model = onnx.load(str(path))
    model.metadata_props.add(key="detector.int8_for", value="tensorrt")
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match=r"m\.onnx is quantised for TensorRT, which openvino runs wrongly"):
        OpenVinoBackend(path=path)


@needs_openvino
@pytest.mark.parametrize(
    ("kind", "spec", "color", "scale"),
    [
        ("dense", None, "rgb", 1 / 255),
        ("yolox-grid", None, "bgr", 1.0),
        ("dense", InputSpec(color="bgr", scale=1 / 128), "bgr", 1 / 128),
    ],
)
def test_preprocessing_that_is_folded_in_gives_what_it_gives_outside(
    tmp_path: Path, kind: Head, spec: InputSpec | None, color: str, scale: float
) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(network(kind, width=96, height=64), str(path))
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    outside = pixels[..., ::-1] if color == "rgb" else pixels
    floats = np.ascontiguousarray(outside.transpose(0, 3, 1, 2)).astype(np.float32) * np.float32(scale)
    plain, folded = OpenVinoBackend(path=path), OpenVinoBackend(path=path, fold=True, spec=spec)
    assert [(each.shape, each.dtype) for each in folded.inputs] == [((1, 64, 96, 3), "uint8")]
    assert (folded.outputs, folded.metadata, folded.digest) == (plain.outputs, plain.metadata, plain.digest)
    for found, wanted in zip(folded.run(pixels), plain.run(floats), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
    assert np.ptp(plain.run(floats)[0]) > 0.01, "a constant would equal itself"


@needs_openvino
def test_what_is_no_detector_or_of_no_fixed_size_or_takes_bytes_stays_as_it_is(tmp_path: Path) -> None:
    plain = write_convolution(tmp_path / "m.onnx")
    assert OpenVinoBackend(path=plain, fold=True).inputs == OpenVinoBackend(path=plain).inputs
    outputs: dict[str, Any] = {"dets": np.ones((1, 4, 5), np.float32), "labels": np.zeros((1, 4), np.int64)}
    dynamic = write_constant(tmp_path / "d.onnx", outputs, input_shape=(1, 3, "h", "w"), metadata={"task": "detect"})
    assert OpenVinoBackend(path=dynamic, fold=True).inputs == OpenVinoBackend(path=dynamic).inputs
