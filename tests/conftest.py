"""What all tests share: models and pictures, from the shared data where it lies beside the project, else fetched."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from detector.core.redact import redact
from detector.models.engines.prepare import prepare
from detector.models.registry import Resolved, load_registry
from support import sample
from support.hostkernels import HostKernels

# Whether a change lands must not hang on a dice; a developer's every run tries new examples. Without a deadline an
# example: a busy machine is no fault of what is tested, and pytest-timeout bounds the whole.
settings.register_profile("developer", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

SHARED = Path(os.environ.get("DETECTOR_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hours", type=float, help="how long `make soak` runs; else DETECTOR_SOAK_MINUTES, else 5 minutes"
    )


def pytest_configure(config: pytest.Config) -> None:
    if hours := config.getoption("--hours"):
        os.environ["DETECTOR_SOAK_MINUTES"] = str(hours * 60)  # read where the suite is collected


BETTER_WITH_SHARED = {"shared", "model_file", "small_model", "raw_model", "people", "nobody"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the shared data, or has more to work on with it, carries `shared`."""
    for item in items:
        if BETTER_WITH_SHARED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.shared)


HAS_SHARED = (SHARED / "media").is_dir()
NEEDS_SHARED = "needs the shared test data (../shared or DETECTOR_SHARED)"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of models, pictures and clips that is not part of the project."""
    if not HAS_SHARED:
        pytest.skip(NEEDS_SHARED)
    return SHARED


@pytest.fixture(scope="session")
def has_shared() -> bool:
    """For tests that can do without, on other models and pictures."""
    return HAS_SHARED


@pytest.fixture(scope="session")
def model_file() -> Callable[[str], Path]:
    """A model's file by its shared name; without shared data only the default model, fetched."""

    def found(name: str) -> Path:
        if HAS_SHARED:
            return SHARED / "models" / f"{name}.onnx"
        if name != "yolox_tiny_humanart":
            pytest.skip(f"{NEEDS_SHARED}: {name}")
        return sample.model()

    return found


@pytest.fixture(scope="session")
def small_model(model_file: Callable[[str], Path]) -> Path:
    """YOLOX-nano, the quickest of the shared models, else the default model."""
    return model_file("yolox_nano" if HAS_SHARED else "yolox_tiny_humanart")


@pytest.fixture(scope="session")
def raw_model(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Resolved:
    """A model without NMS in its graph: YOLOX-nano, else the default model cut before its NMS."""
    found = load_registry().resolve(small_model)
    if HAS_SHARED:
        return found
    cut = tmp_path_factory.mktemp("models") / "cut.onnx"
    cut.write_bytes(prepare(small_model).content)
    return replace(found, path=cut)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures with people: COCO's, most with some, else the sample clip's, two in each."""
    if HAS_SHARED:
        return SHARED / "media" / "coco" / "images"
    return sample.write(sample.pairs(), tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="session")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures without people."""
    if HAS_SHARED:
        return SHARED / "media" / "negatives"
    return sample.write(sample.frames(sample.WITHOUT_PERSON), tmp_path_factory.mktemp("nobody"))


@pytest.fixture(scope="session")
def letterbox_host(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return HostKernels("letterbox.cu", tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="session")
def post_host(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return HostKernels("post.cu", tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="session")
def kernels(letterbox_host: HostKernels, post_host: HostKernels) -> dict[str, HostKernels]:
    """Compiled once for all who run them on the host."""
    return {"letterbox": letterbox_host, "post": post_host}


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test teaches the process's redactor is forgotten after it: "secret" must not be masked in the next."""
    for name in ("_known", "_patterns"):
        monkeypatch.setattr(redact, name, getattr(redact, name))
