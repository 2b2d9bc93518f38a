"""A transformer detector goes the whole way: from its folder through export, INT8 and INT4 to both runtimes.

Its weights are random, so what is compared is each form with fp32, not how well it finds anybody.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.transformer import architecture, forms, measure
from detector.capture.pictures import folder_pictures
from detector.cli.app import call
from detector.core.errors import ModelError
from detector.inference.factory import load_detector

pytestmark = pytest.mark.optimize
SIZE = (320, 320)


@pytest.fixture(autouse=True)
def _transformers() -> None:
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason="needs the extras optimize and transformer")


@pytest.mark.timeout(300)
def test_export_int8_int4_and_both_runtimes(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino (make test-optimize)")
    from detector.optimize.export import transformers_models
    from detector.optimize.export.export import ExportOptions, export

    pictures = list(folder_pictures(shared / "media" / "coco" / "images", count=16))
    found = transformers_models.load(architecture(tmp_path / "dfine"), random_weights=True)
    assert found.size == (640, 640)
    exported = tmp_path / "dfine.onnx"
    done = export(found.network, ExportOptions(size=SIZE), exported, pictures[:1])
    assert done.layout == "detr"
    assert done.checked is not None
    assert (done.checked.persons, done.checked.good) == (300, True)

    detector = load_detector(path=exported, name="dfine")
    assert (detector.layout.classes, detector.layout.activation, detector.spec.placement) == (80, "sigmoid", "stretch")
    detector.close()

    files = forms(exported, pictures)
    rows = {(row.form, row.runtime): row for row in measure(files, pictures[:1], 1)}
    assert set(rows) == {(form, name) for form in ("fp32", "int8", "int4") for name in ("onnxruntime", "openvino")}
    exact, other = rows["fp32", "onnxruntime"], rows["fp32", "openvino"]
    assert (exact.px_max, exact.score_max) == (0.0, 0.0)
    assert other.px_max < 0.5
    assert other.score_max < 1e-3
    for form in ("int8", "int4"):
        assert rows[form, "onnxruntime"].size < exact.size
        assert 0.0 < rows[form, "onnxruntime"].px_median < 40.0
    # The runtimes read the same numbers out of the packed weights.
    assert abs(rows["int4", "onnxruntime"].px_median - rows["int4", "openvino"].px_median) < 2.0


def test_folders_that_hold_no_detector(tmp_path: Path) -> None:
    from detector.optimize.export import transformers_models

    with pytest.raises(ModelError, match=r"has no config.json"):
        transformers_models.load(tmp_path)
    folder = architecture(tmp_path / "dfine")
    with pytest.raises(ModelError, match=r"has no model.safetensors.*--random-weights"):
        transformers_models.load(folder)
    (folder / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ModelError, match="cannot be opened as a transformers detector"):
        transformers_models.load(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be opened as a transformers detector"):
        transformers_models.load(folder, random_weights=True)


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = architecture(tmp_path / "dfine")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    strange = tmp_path / "strange"
    shutil.copytree(folder, strange)
    (strange / "config.json").write_text(json.dumps({**config, "num_labels": 3}), encoding="utf-8")
    for arguments, code, words in (
        ([str(folder), "--person-only"], 2, "not for a transformers folder"),
        ([str(folder)], 1, "--random-weights"),
        ([str(strange), "--random-weights"], 1, "knows no persons"),
        ([str(tmp_path / "m.pt"), "--random-weights"], 2, "is for a transformers folder"),
    ):
        assert call(["export", *arguments, "--output", str(tmp_path / "x.onnx")]) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert words in said.err
        assert said.err.count("\n") == 1
    assert not (tmp_path / "x.onnx").exists()
