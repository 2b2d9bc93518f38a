"""Compiled models see what the ONNX file sees, and are refused where they do not belong."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.capture.pictures import folder_pictures
from detector.cli.app import call
from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Image
from detector.inference.agreement import Verdict
from detector.inference.backends import compiled_model
from detector.inference.backends.onnx_metadata import inspect, metadata_bytes
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend, save_optimised
from detector.inference.factory import load_detector
from detector.inference.tensorrt.library import flavour
from detector.models.graph import edit
from detector.models.graph.quantize import quantize_cpu
from detector.optimize.export.compile import Compiled, Target, compile_model
from support.extras import needs_openvino


@pytest.fixture(scope="module")
def model(small_model: Path) -> Path:
    return small_model


@pytest.fixture(scope="module")
def photos(people: Path) -> list[Image]:
    return list(folder_pictures(people, count=6))


def altered(path: Path, **changes: str) -> None:
    """The compiled file as if made for another machine: later entries of metadata win."""
    told = json.loads(inspect(path).metadata[compiled_model.KEY])
    with path.open("ab") as file:
        file.write(metadata_bytes(compiled_model.KEY, json.dumps({**told, **changes})))


def test_for_onnxruntime(model: Path, photos: list[Image], tmp_path: Path) -> None:
    output = tmp_path / "m.ort.onnx"
    done = compile_model(model, output, "onnxruntime", photos, runs=3)
    assert (done.verdict.accepted, done.verdict.score_delta_max, done.verdict.iou_min) == (True, 0.0, 1.0)
    assert done.verdict.persons >= 5
    assert done.size == output.stat().st_size
    assert min(done.load_ms, done.plain_load_ms, done.run_ms, done.plain_run_ms) > 0.0
    # What ONNX Runtime does to a graph as it loads it has been done: its own operators stand in the file. (How many
    # nodes there are says nothing: 1.23 puts reordering nodes in where 1.32 merges.)
    before, after = ({node.domain for node in onnx.load(str(path)).graph.node} for path in (model, output))
    assert not any(domain.startswith("com.microsoft") for domain in before)
    assert any(domain.startswith("com.microsoft") for domain in after)
    assert [path.name for path in tmp_path.iterdir()] == ["m.ort.onnx"]


@needs_openvino
def test_for_openvino(model: Path, photos: list[Image], tmp_path: Path) -> None:
    output = tmp_path / "m.xml"
    done = compile_model(model, output, "openvino", photos, runs=3)
    assert done.verdict.accepted
    assert done.size == sum(path.stat().st_size for path in (output, tmp_path / "m.bin"))
    both = [load_detector(path=path, name="m", backend="openvino", threads=1) for path in (output, model)]
    assert [detector.backend for detector in both] == ["openvino"] * 2
    for picture in photos:
        (boxes, scores, _), (expected, expected_scores, _) = (detector.detect_image(picture) for detector in both)
        np.testing.assert_allclose(boxes, expected, atol=0.01)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    for detector in both:
        detector.close()


@pytest.mark.optimize
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_an_int8_file_stays_one_and_keeps_what_it_says(
    target: str, model_file: Callable[[str], Path], photos: list[Image], tmp_path: Path
) -> None:
    if target == "openvino":
        pytest.importorskip("openvino", reason="needs the extra openvino (make test-optimize)")
    whole, small = edit.reshape(onnx.load(str(model_file("yolox_nano"))), 128, 96), tmp_path / "small.onnx"
    onnx.helper.set_model_props(whole, {"names": str({0: "person", **{i: f"thing {i}" for i in range(1, 80)}})})
    onnx.save(whole, str(small))
    random = np.random.default_rng(0)
    noise = [ArrayImage(random.integers(0, 256, (96, 128, 3), np.uint8)) for _ in range(16)]
    quantize_cpu(small, noise, output=small)
    output = tmp_path / ("m.xml" if target == "openvino" else "m.ort.onnx")
    from detector.inference.backends.openvino import save_ir

    (save_ir if target == "openvino" else save_optimised)(small, output)
    detector = load_detector(path=output, name="m")
    assert (detector.precision, detector.backend, detector.layout.classes) == ("int8", target, 80)
    reference = load_detector(path=small, name="small", backend="onnxruntime")
    if target == "onnxruntime":
        for picture in photos:
            np.testing.assert_array_equal(detector.detect_image(picture)[1], reference.detect_image(picture)[1])
    detector.close()
    reference.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu": "Cortex-A78AE"}, "was compiled for Cortex-A78AE with onnxruntime"),
        ({"features": "0123456789abcdef"}, "was compiled for"),
        ({"runtime": "onnxruntime 1.0.0"}, "with onnxruntime 1.0.0"),
    ],
)
def test_another_machines_file_is_refused(changes: dict[str, str], words: str, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.onnx"
    save_optimised(model, output)
    OnnxRuntimeBackend(path=output).close()
    altered(output, **changes)
    with pytest.raises(ModelError, match=words) as caught:
        OnnxRuntimeBackend(path=output)
    assert f"redo it here with detector compile {model} --target onnxruntime" in str(caught.value)


def test_a_file_that_does_not_say_for_what(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.onnx"
    output.write_bytes(model.read_bytes() + metadata_bytes(compiled_model.KEY, "{}"))
    with pytest.raises(ModelError, match="compile it again"):
        OnnxRuntimeBackend(path=output)


def test_metadata_behind_a_model_is_a_models_metadata(model: Path, tmp_path: Path) -> None:
    path, text = tmp_path / "m.onnx", "x" * 300 + "ü"
    path.write_bytes(model.read_bytes() + metadata_bytes("detector.test", text))
    read = onnx.load(str(path))
    onnx.checker.check_model(read)
    assert {entry.key: entry.value for entry in read.metadata_props}["detector.test"] == text
    assert inspect(path).metadata["detector.test"] == text


@needs_openvino
def test_openvinos_second_file(model: Path, tmp_path: Path) -> None:
    from detector.inference.backends.openvino import save_ir

    output = tmp_path / "m.xml"
    save_ir(model, output)
    with pytest.raises(ModelError, match="use backend openvino or auto"):
        load_detector(path=output, name="m", backend="onnxruntime")
    (tmp_path / "m.bin").unlink()
    with pytest.raises(ModelError, match="which is missing"):
        load_detector(path=output, name="m")
    output.write_text("<net/>", encoding="utf-8")
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="openvino cannot load"):
        load_detector(path=output, name="m")


def test_pictures_of_nobody_prove_nothing(model: Path, nobody: Path, tmp_path: Path) -> None:
    pictures = list(folder_pictures(nobody))
    with pytest.raises(ModelError, match="too few for a comparison"):
        compile_model(model, tmp_path / "m.onnx", "onnxruntime", pictures, runs=1)
    assert list(tmp_path.iterdir()) == []


def test_what_paid_is_said() -> None:
    nothing = {"iou_mean": None, "iou_min": None, "score_delta_mean": None, "score_delta_max": None}
    verdict = Verdict(accepted=True, reasons=(), images=1, persons=1, missed=0, extra=0, **nothing)

    def paid(load: float, run: float, base: float, target: Target = "openvino") -> str:
        return Compiled(
            target=target, size=1, verdict=verdict, load_ms=load, plain_load_ms=100.0, base_load_ms=50.0,
            run_ms=run, plain_run_ms=10.0, base_run_ms=base,
        ).paid  # fmt: skip

    assert paid(40.0, 10.0, 10.0) == "it loads in 40% of the time"
    assert paid(99.0, 9.0, 18.0) == "it runs in 90% of the time; the runtime takes 50% of ONNX Runtime's time"
    assert paid(99.0, 9.9, 10.0).startswith("it did not pay")
    assert paid(99.0, 9.9, 20.0, "onnxruntime").startswith("it did not pay")


@pytest.mark.optimize
def test_the_command(model: Path, people: Path, tmp_path: Path) -> None:
    command = ["compile", str(model), "--target", "onnxruntime", "--images", str(people), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "detector", *command],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["output"] == f"{model.stem}.ort.onnx"
    assert answer["verdict"]["accepted"]
    assert answer["paid"]


@pytest.mark.optimize
def test_a_full_disk_leaves_nothing_behind(model: Path, people: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    for target in ("onnxruntime", "openvino"):
        done = subprocess.run(
            [sys.executable, "-m", "detector", "compile", str(model), "--target", target, "--images",
             str(people)],
            capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        )  # fmt: skip
        assert done.returncode == 1, done
        assert done.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


def test_mistakes_are_one_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.engine").write_bytes(b"x")
    for arguments, code, words in (
        ([str(model), "--target", "paper"], 2, "paper"),
        ([str(model)], 2, "--target"),
        (["none.onnx", "--target", "openvino"], 1, "no model file"),
        (["x.engine", "--target", "openvino"], 2, "is not an ONNX model"),
        ([str(model), "--target", "openvino", "--output", "m.onnx"], 2, "ends in .xml"),
    ):
        assert call(["compile", *arguments]) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert words in said.err
        assert said.err.count("\n") == 1


def test_for_tensorrt_it_is_the_builder(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if flavour() is not None:
        pytest.skip("TensorRT is here: tests/cli/test_build.py builds with it")
    assert call(["compile", str(model), "--target", "tensorrt", "--output", str(tmp_path / "m.engine")]) == 1
    assert "apt install python3-libnvinfer" in capsys.readouterr().err


@pytest.mark.optimize
def test_for_tensorrt_an_engine_is_built(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")
    output = tmp_path / "m.engine"
    assert call(["compile", str(model), "--target", "tensorrt", "--output", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == output.stat().st_size
