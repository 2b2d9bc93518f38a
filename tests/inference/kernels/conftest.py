from __future__ import annotations

from pathlib import Path

import pytest

from support.hostkernels import HostKernels


@pytest.fixture(scope="session")
def letterbox_host(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return HostKernels("letterbox.cu", tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="session")
def post_host(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return HostKernels("post.cu", tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="session")
def coco(shared: Path) -> list[Path]:
    return sorted((shared / "media" / "coco").rglob("*.jpg"))
