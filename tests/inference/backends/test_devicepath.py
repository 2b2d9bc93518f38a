"""The device's path with the kernels themselves, compiled for the host: real structs, addresses and launches.

Only CUDA is small and fake here: its memory is the host's, its launches run at once. The engine between the
kernels is ONNX Runtime, which reads and writes the same addresses.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.engines.gate import compare
from detector.engines.pictures import folder_pictures
from detector.errors import InferenceError
from detector.inference.backends import devicepath
from detector.inference.backends.base import TensorSpec
from detector.inference.backends.devicepath import DevicePath, Ends, Task
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.decode import Persons
from detector.inference.detector import PersonDetector
from detector.inference.kernels.launch import Launch
from detector.inference.layout import Layout
from detector.inference.preprocess import Placement
from detector.inference.spec import InputSpec
from detector.models import load_registry
from detector.types import ArrayImage, Floats, Image
from support.hostkernels import HostKernels

FRAMES = ["yolox_nano", "yolov10n", "yolov8n"]


class _Allocation:
    """What pycuda's pinned arrays have for their base."""

    def __init__(self, size: int) -> None:
        self._memory = np.empty(size, np.uint8)
        self.__array_interface__ = self._memory.__array_interface__

    def get_device_pointer(self) -> int:
        return int(self._memory.ctypes.data)


class HostCuda:
    """As much of pycuda as the path asks for, in host memory; `allocations` and `transfers` are counted."""

    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)

    def __init__(self, kernels: dict[str, HostKernels]) -> None:
        self._kernels = kernels
        self._kept: list[Any] = []
        self.allocations = self.transfers = 0

    def pagelocked_empty(self, size: int, dtype: Any, mem_flags: int) -> NDArray[Any]:
        assert mem_flags == self.host_alloc_flags.DEVICEMAP
        self.allocations += 1
        assert dtype == np.uint8
        return np.asarray(_Allocation(size))

    def mem_alloc(self, size: int) -> int:
        self.allocations += 1
        self._kept.append(np.empty(size, np.uint8))
        return int(self._kept[-1].ctypes.data)

    def memset_d8(self, address: int, value: int, size: int) -> None:
        ctypes.memset(address, value, size)

    def memcpy_htod_async(self, address: int, source: NDArray[Any], _stream: Any) -> None:
        self.transfers += 1
        ctypes.memmove(address, source.ctypes.data, source.nbytes)

    def module_from_buffer(self, cubin: bytes) -> Any:
        host = self._kernels[cubin.decode()]

        def function(name: str) -> Callable[..., None]:
            def run(*args: Any, grid: Any, block: Any, stream: Any) -> None:
                host.launch(Launch(kernel=name, grid=grid, block=block, args=args))

            return run

        return SimpleNamespace(get_function=function)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HostKernels]:
    folder = tmp_path_factory.mktemp("kernels")
    return {name: HostKernels(f"{name}.cu", folder) for name in ("letterbox", "post")}


@pytest.fixture
def cuda(kernels: dict[str, HostKernels], monkeypatch: pytest.MonkeyPatch) -> HostCuda:
    def compiled(source: str, **_: Any) -> Any:
        names = {"letterbox": ["letterbox_f32", "letterbox_f16"], "post": []}[source]
        names = names or [f"{kind}_{suffix}" for kind in ("gather", "suppress") for suffix in ("f32", "f16")]
        return SimpleNamespace(cubin=source.encode(), usage=dict.fromkeys(names))

    monkeypatch.setattr(devicepath, "compiled", compiled)
    return HostCuda(kernels)


class HostEngine:
    """A PictureBackend: the path around ONNX Runtime, which works at the addresses that an engine would."""

    name, version, provider = "host", "1", "host"

    def __init__(self, cuda: HostCuda, path: Path, *, shared: bool, half: bool = False) -> None:
        self._model = OnnxRuntimeBackend(path=path, threads=2)
        self.precision, self.digest, self.metadata = self._model.precision, self._model.digest, self._model.metadata
        self.inputs, self.outputs = self._model.inputs, self._model.outputs
        self.cuda, self._shared, self._half = cuda, shared, half
        self.path: DevicePath | None = None

    def adopt(self, *, layout: Layout, spec: InputSpec, floor: float, iou: float | None) -> bool:
        kind: Any = "float16" if self._half else "float32"
        self._in = np.zeros((1, 3, layout.height, layout.width), kind)
        self._out = np.zeros(_shape(self.outputs[0]), kind)
        ends = Ends(
            input_address=int(self._in.ctypes.data),
            input_dtype=kind,
            output_address=int(self._out.ctypes.data),
            output_dtype=kind,
            rows=self._out.shape[1],
            batch=1,
        )
        task = Task(layout=layout, spec=spec, floor=floor, iou=iou)
        self.path = DevicePath(
            cuda=self.cuda, stream=None, arch="sm_87", cache=Path(), shared=self._shared, ends=ends, task=task
        )
        return True

    def see(self, images: list[Image]) -> list[tuple[Persons, Placement]]:
        assert self.path is not None
        placements = self.path.stage(images)
        self.path.enqueue(self.rerun)
        return list(zip(self.path.persons(len(placements)), placements, strict=True))

    def rerun(self) -> None:
        (self._out[...],) = self._model.run(self._in.astype(np.float32))

    def run(self, tensor: Floats) -> tuple[NDArray[Any], ...]:
        return self._model.run(tensor)

    def close(self) -> None:
        self._model.close()


def _shape(spec: TensorSpec) -> tuple[int, ...]:
    assert None not in spec.shape
    return tuple(side for side in spec.shape if side is not None)


@pytest.mark.parametrize("shared_memory", [True, False], ids=["integrated", "discrete"])
@pytest.mark.parametrize("name", FRAMES)
def test_it_sees_what_the_cpus_way_sees(shared: Path, cuda: HostCuda, name: str, shared_memory: bool) -> None:
    found = load_registry().resolve(shared / f"models/{name}.onnx")
    engine = HostEngine(cuda, found.path, shared=shared_memory)
    usual = PersonDetector(model_name=name, backend=OnnxRuntimeBackend(path=found.path, threads=2), spec=found.spec)
    whole = PersonDetector(model_name=name, backend=engine, spec=found.spec)
    pictures = list(folder_pictures(shared / "media/coco/images", count=5))
    verdict = compare(usual, whole, pictures)
    assert verdict.accepted, verdict
    assert verdict.iou_min is not None
    assert verdict.iou_min > 0.97
    assert cuda.transfers == (0 if shared_memory else len(pictures)), "a Jetson copies nothing"
    assert whole.run_bare() > 0.0


def test_half_precision_ends(shared: Path, cuda: HostCuda) -> None:
    found = load_registry().resolve(shared / "models/yolov8n.onnx")
    usual = PersonDetector(model_name="m", backend=OnnxRuntimeBackend(path=found.path, threads=2), spec=found.spec)
    whole = PersonDetector(
        model_name="m", backend=HostEngine(cuda, found.path, shared=True, half=True), spec=found.spec
    )
    assert compare(usual, whole, folder_pictures(shared / "media/coco/images", count=4)).accepted


def test_a_frame_no_larger_than_before_allocates_nothing(shared: Path, cuda: HostCuda) -> None:
    found = load_registry().resolve(shared / "models/yolox_nano.onnx")
    detector = PersonDetector(model_name="m", backend=HostEngine(cuda, found.path, shared=False), spec=found.spec)
    for height, width in ((480, 640), (720, 1280)):
        detector.detect_image(ArrayImage(np.zeros((height, width, 3), np.uint8)))
    before = cuda.allocations
    for height, width in ((720, 1280), (480, 640), (100, 200)):
        detector.detect_image(ArrayImage(np.zeros((height, width, 3), np.uint8)))
    assert cuda.allocations == before
    assert devicepath.LAUNCHES_BEFORE_ENGINE == 1


def test_nonsense_and_what_is_no_picture_are_told(shared: Path, cuda: HostCuda) -> None:
    found = load_registry().resolve(shared / "models/yolox_nano.onnx")
    engine = HostEngine(cuda, found.path, shared=True)
    detector = PersonDetector(model_name="m", backend=engine, spec=found.spec)
    with pytest.raises(InferenceError, match="not a BGR picture"):
        detector.detect_image(ArrayImage(np.zeros((8, 8), np.uint8)))
    engine.rerun = lambda: engine._out.fill(np.nan)  # type: ignore[method-assign]  # as an engine gone wrong
    with pytest.raises(InferenceError, match="NaN"):
        detector.detect_image(ArrayImage(np.zeros((8, 8, 3), np.uint8)))
