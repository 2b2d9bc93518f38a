"""What all tests share: where the shared data lies, if it does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from detector.core.redact import redact
from support.hostkernels import HostKernels

# A landing must not hang on a dice; at a desk every run tries new examples.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

SHARED = Path(os.environ.get("DETECTOR_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of models, pictures and clips that is not part of the project."""
    if not (SHARED / "media").is_dir():
        pytest.skip("needs the shared test data (../shared or DETECTOR_SHARED)")
    return SHARED


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
