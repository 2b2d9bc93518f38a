"""Finds the GPU through the driver only, without creating a CUDA context; without a driver there is none."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

_MAJOR, _MINOR = 75, 76  # CUdevice_attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """`compute` is the compute capability (8.7: Orin), `cuda` the driver's newest CUDA version, `driver` its release."""

    name: str
    compute: str
    cuda: str
    driver: str


def device_files(root: Path = Path("/dev")) -> bool:
    """Whether there are device files of an NVIDIA GPU, on a desktop or a Jetson."""
    return any((root / name).exists() for name in ("nvidia0", "nvidiactl", "nvhost-gpu", "nvgpu", "nvhost-ctrl-gpu"))


def tensorrt_there() -> bool:
    """Whether a TensorRT package is installed; it is not imported."""
    from .library import flavour

    return flavour() is not None


def find_gpu() -> Gpu | None:
    """The first GPU; None if there is none or its driver does not answer."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    number, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDriverGetVersion(ctypes.byref(number)):
        return None
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, len(name), device):
        return None

    def attribute(which: int) -> int:
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
        return value.value

    return Gpu(
        name=name.value.decode(errors="replace"),
        compute=f"{attribute(_MAJOR)}.{attribute(_MINOR)}",
        cuda=f"{number.value // 1000}.{number.value % 1000 // 10}",
        driver=_release(),
    )


def _release(root: Path = Path("/")) -> str:
    """The release of the driver: of the kernel module, else of Jetson Linux."""
    for path, pattern in (
        ("sys/module/nvidia/version", r"([\d.]+)"),
        ("proc/driver/nvidia/version", r"Module\D*([\d.]+)"),
        ("etc/nv_tegra_release", r"R(\d+) .*REVISION: ([\d.]+)"),
    ):
        try:
            found = re.search(pattern, (root / path).read_text(encoding="utf-8"))
        except OSError:
            continue
        if found:
            return ".".join(found.groups())
    return "unknown"
