"""A recipe goes to disk and back, and what is none is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from detector.config.schema import Config
from detector.core.errors import UsageError
from detector.optimize.study.recipe import StudyRecipe, config, read, write
from detector.optimize.study.variant import Runtime, VariantForm

RECIPE = StudyRecipe(
    model="yolov10n",
    model_sha256="a" * 64,
    form=VariantForm(shape=(640, 384), precision="int8-convolutions", person_only=True),
    runtime=Runtime(backend="openvino", threads=2),
    result_sha256="b" * 64,
    calibration="/pictures",
    calibration_sha256="c" * 64,
    calibration_names=("a.png", "b.png"),
)


def test_there_and_back(tmp_path: Path) -> None:
    write(tmp_path / "recipe.yaml", RECIPE, {"drop": 0.1})
    assert read(tmp_path / "recipe.yaml") == RECIPE
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_the_service_takes_its_configuration() -> None:
    document = yaml.safe_load(config(RECIPE, Path("out/model.onnx")))
    model = Config.model_validate({**document, "cameras": {"porch": {"source": "clip.mp4"}}}).model
    assert (model.backend, model.precision, model.threads) == ("openvino", "auto", 2)
    half = dataclasses.replace(RECIPE, runtime=Runtime(backend="openvino", threads=2, half=True))
    assert yaml.safe_load(config(half, Path("model.onnx")))["model"]["precision"] == "fp16"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("form", None, "no recipe"),
        ("form", {"shape": [640, 384], "precision": "int1"}, "no precision 'int1'"),
        ("calibration", None, "'calibration' is missing"),
        ("model", ..., "'model' is missing"),
        ("runtime", {"backend": "openvino", "speed": 9}, "speed"),
    ],
)
def test_what_is_no_recipe(tmp_path: Path, key: str, value: object, reason: str) -> None:
    path = tmp_path / "recipe.yaml"
    write(path, RECIPE, {})
    document = yaml.safe_load(path.read_text())
    if value is ...:
        del document[key]
    else:
        document[key] = value
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(UsageError, match=reason):
        read(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the recipe"):
        read(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("{")
    with pytest.raises(UsageError, match="not YAML"):
        read(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UsageError, match="a recipe that detector optimize wrote is needed"):
        read(tmp_path / "list.yaml")
