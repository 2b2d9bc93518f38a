from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from detector.inference.tensorrt import gpu


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert gpu.find_gpu() is None


@pytest.mark.parametrize("name", ["nvidia0", "nvhost-gpu"])
def test_the_kernel_shows_a_gpu(tmp_path: Path, name: str) -> None:
    assert not gpu.device_files(tmp_path)
    (tmp_path / name).touch()
    assert gpu.device_files(tmp_path)


@pytest.mark.parametrize(
    ("path", "text", "release"),
    [
        ("sys/module/nvidia/version", "580.65.06\n", "580.65.06"),
        ("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.1.2  Tue", "570.1.2"),
        ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 3, BOARD: generic", "36.4.3"),
    ],
)
def test_the_drivers_release(tmp_path: Path, path: str, text: str, release: str) -> None:
    assert gpu._release(tmp_path) == "unknown"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert gpu._release(tmp_path) == release
