"""The backend itself, running: its own code over a driver and an engine in host memory (support/hostdriver.py).

What a GPU adds is in tests/gpu; what is counted here is what the backend asks of CUDA.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from detector.capture.pictures import folder_pictures
from detector.core.errors import InferenceError, ModelError
from detector.core.types import Image
from detector.inference.backends.onnxruntime import OnnxRuntimeBackend
from detector.inference.backends.tensorrt import TensorRtBackend, size_for, sizes_up_to
from detector.inference.detector import PersonDetector
from detector.inference.tensorrt import manifest
from detector.models.registry import Resolved
from support.engines import ORIN, described, verdict
from support.hostcuda import use_host_kernels
from support.hostdriver import CudaError, HostDriver, HostGraphs, installed
from support.hostkernels import HostKernels

Opened = Callable[..., PersonDetector]


@pytest.fixture(params=["jetson-graph", "discrete-graph", "discrete-enqueue"])
def machine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kernels: dict[str, HostKernels]
) -> Iterator[tuple[HostDriver, HostGraphs]]:
    """A GPU that shares the host's memory or does not, with cuda-bindings or without; batches of up to four."""
    use_host_kernels(monkeypatch)
    kind, graphs = request.param.split("-")
    yield from installed(monkeypatch, kernels, integrated=kind == "jetson", batch=4, graphs=graphs == "graph")


@pytest.fixture
def opened(raw_model: Resolved, tmp_path: Path) -> Opened:
    """A detector on the engine of a real model; by tensors, letterbox and decoding on the CPU."""

    def open_one(*, batch: int = 4, by_tensor: bool = False) -> PersonDetector:
        path = tmp_path / f"m{batch}.engine"
        plan = str(raw_model.path).encode()
        path.write_bytes(plan)
        (name,) = (given.name for given in onnx.load(raw_model.path).graph.input)
        shapes = {name: [[count, 3, 416, 416] for count in (1, batch, batch)]}
        made = dataclasses.replace(
            described(shapes=shapes),
            size=len(plan),
            sha256=hashlib.sha256(plan).hexdigest(),
            metadata={},
            spec=raw_model.spec,
        )
        manifest.write(path, made.judged(verdict(), ORIN, "int8 was refused: it misses 3 of 40 persons"))
        backend: Any = TensorRtBackend(path=path)
        if by_tensor:
            backend.configure = lambda **_: False
        return PersonDetector(model_name="m", backend=backend, spec=raw_model.spec)

    return open_one


@pytest.fixture(scope="module")
def pictures(people: Path) -> list[Image]:
    return list(folder_pictures(people, count=4))


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("by_tensor", [False, True], ids=["pictures", "tensors"])
def test_it_sees_what_onnxruntime_sees(
    raw_model: Resolved, opened: Opened, pictures: list[Image], by_tensor: bool
) -> None:
    usual = PersonDetector(
        model_name="m", backend=OnnxRuntimeBackend(path=raw_model.path, threads=2), spec=raw_model.spec
    )
    detector = opened(by_tensor=by_tensor)
    assert (detector.backend, detector.precision, detector.provider) == ("tensorrt", "fp16", ORIN.gpu)
    assert detector.max_batch == (1 if by_tensor else 4)
    assert detector.note == "int8 was refused: it misses 3 of 40 persons"
    assert usual.note is None
    for _ in range(2):  # enqueued, then as recorded
        for picture in pictures[:2]:
            boxes, scores, _ = detector.detect_image(picture)
            wanted_boxes, wanted_scores, _ = usual.detect_image(picture)
            sure = wanted_scores > 0.3
            assert (scores > 0.3).sum() == sure.sum()
            np.testing.assert_allclose(boxes[: sure.sum()], wanted_boxes[sure], atol=1.5)
    assert detector.run_bare() > 0
    detector.close()


def test_what_a_frame_asks_of_the_driver(
    machine: tuple[HostDriver, HostGraphs], opened: Opened, pictures: list[Image]
) -> None:
    """Nothing is allocated, the host waits once and for our stream alone, at most two launches before the engine."""
    cuda, recorder = machine
    detector = opened()
    detector.warm_up()
    detector.detect_image(max(pictures, key=lambda picture: picture.width * picture.height))
    cuda.calls.clear()
    for picture in pictures:
        detector.detect_image(picture)
    frames = len(pictures)
    copies = {} if cuda.integrated else {"to device": frames}
    kinds = {f"launch {kind}": frames for kind in ("letterbox", "gather", "suppress")}
    own = {"graph": frames} if recorder.alive else {"launch": 3 * frames, "engine": frames}
    assert cuda.calls == {**own, **kinds, **copies, "wait for the stream": frames}
    detector.close()


def test_a_batch_is_one_run_and_each_size_has_its_own_graph(
    machine: tuple[HostDriver, HostGraphs], opened: Opened, pictures: list[Image]
) -> None:
    cuda, recorder = machine
    detector = opened()
    detector.warm_up()
    graphs = recorder.alive
    assert graphs in (0, 6), "a graph and its executable for 1, 2 and 4 pictures"
    alone = [detector.detect_image(picture) for picture in pictures]
    cuda.calls.clear()
    together = detector.detect_images(pictures)
    assert cuda.calls["wait for the stream"] == 1
    for found, expected in zip(together, alone, strict=True):
        assert not isinstance(found, Exception)
        np.testing.assert_array_equal(found[0], expected[0])
    detector.detect_images(pictures[:3])
    detector.detect_images(pictures[:2])
    assert recorder.alive == graphs, "nothing is recorded again"
    detector.close()
    assert recorder.alive == 0, "closing gives the graphs back"


def test_a_sticky_fault_is_an_error_from_then_on(
    machine: tuple[HostDriver, HostGraphs], opened: Opened, pictures: list[Image]
) -> None:
    cuda, _ = machine
    detector = opened()
    detector.warm_up()
    cuda.fail = CudaError("cuLaunchKernel failed: an illegal memory access was encountered")
    with pytest.raises(InferenceError, match=r"the GPU failed: .*(illegal memory access|CUDA_ERROR_ILLEGAL_ADDRESS)"):
        detector.detect_image(pictures[0])
    with pytest.raises(InferenceError, match="has to be loaded anew"):
        detector.detect_images(pictures)
    detector.close()


@pytest.mark.usefixtures("machine")
def test_one_thread_loads_and_another_serves(opened: Opened, pictures: list[Image]) -> None:
    detector = opened()
    expected = detector.detect_image(pictures[0])[0]
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(detector.detect_image(pictures[0])[0]))
    thread.start()
    thread.join(60)
    np.testing.assert_array_equal(found[0], expected)
    detector.close()
    detector.close()
    with pytest.raises(InferenceError, match="closed"):
        detector.detect_image(pictures[0])


def test_an_engine_that_refuses_is_told(
    machine: tuple[HostDriver, HostGraphs], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support import hostdriver

    with pytest.raises(ModelError, match="refuses"):
        opened(batch=8)  # the engine itself takes four
    monkeypatch.setattr(hostdriver._Engine, "create_execution_context", lambda _self: None)
    with pytest.raises(ModelError, match="cannot be run here, for want of memory perhaps"):
        opened()
    cuda, _ = machine
    monkeypatch.setattr(cuda, "Stream", _no_memory)
    with pytest.raises(ModelError, match=r"the GPU cannot run m4\.engine: out of memory"):
        opened()


def _no_memory() -> None:
    raise HostDriver.MemoryError("out of memory")


def test_sizes() -> None:
    assert [sizes_up_to(most) for most in (1, 2, 3, 4, 6, 8)] == [
        (1,), (1, 2), (1, 2, 3), (1, 2, 4), (1, 2, 4, 6), (1, 2, 4, 8)
    ]  # fmt: skip
    assert [size_for((1, 2, 4), count) for count in (1, 2, 3, 4)] == [1, 2, 4, 4]
    for count in (0, 5):
        with pytest.raises(InferenceError, match="takes 1 to 4 pictures at once, not"):
            size_for((1, 2, 4), count)
