"""TensorRT-RTX parses and builds without a GPU: the builder's own code on the real library and real models."""

from __future__ import annotations

import ctypes
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from detector.capture.pictures import folder_pictures
from detector.core.errors import ModelError
from detector.core.types import Image
from detector.inference.backends import tensorrt
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.inference.tensorrt import manifest
from detector.inference.tensorrt.library import library, said
from detector.inference.tensorrt.manifest import environment
from detector.models.engines.build_accepted import build_gated
from detector.models.engines.builder import BuildCancelledError, BuildRequest, build
from detector.models.engines.prepare import BuildPrecision, prepare
from detector.models.registry import load_registry
from support.quantised import quantise

pytestmark = pytest.mark.optimize


@pytest.fixture(scope="module", autouse=True)
def _rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra tensorrt-rtx (make test-optimize)")


REGISTRY = load_registry()
FILES = {
    "yolox-tiny-person": "yolox_tiny_humanart",
    "yolov10n": "yolov10n",
    "yolox-nano": "yolox_nano",
    "yolov8n": "yolov8n",
    "yolo11n": "yolo11n",
}


def order(model: Path, output: Path, precision: BuildPrecision = "auto", **other: Any) -> BuildRequest:
    found = REGISTRY.resolve(model)
    return BuildRequest(model=model, output=output, name=found.name, spec=found.spec, precision=precision, **other)


@pytest.fixture
def images(shared: Path) -> list[Image]:
    return list(folder_pictures(shared / "media/coco/images", count=6))


def test_every_model_of_the_registry_is_here() -> None:
    assert set(FILES) == set(REGISTRY.names())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", FILES)
def test_every_model_builds(shared: Path, tmp_path: Path, name: str, precision: BuildPrecision) -> None:
    seen: list[tuple[int, int | None]] = []
    output = tmp_path / "m.engine"
    made = build(
        order(shared / f"models/{FILES[name]}.onnx", output, precision), report=lambda d, t, _: seen.append((d, t))
    )
    assert made == manifest.read(output)
    assert made.model_name == name
    assert made.size == output.stat().st_size > 2**20
    assert (made.recipe.precision, made.environment.tensorrt) == (precision, library().version)
    ((_, shapes),) = made.recipe.shapes.items()
    assert shapes == [[1, 3, *reversed((REGISTRY.entry(name).input.width, REGISTRY.entry(name).input.height))]] * 3
    assert len(seen) > 50
    assert seen == sorted(seen), "progress only grows"
    assert seen[-1] == (1000, 1000)


@pytest.mark.parametrize("name", FILES)
def test_every_model_builds_in_int8(shared: Path, tmp_path: Path, name: str, images: list[Image]) -> None:
    found = REGISTRY.resolve(shared / f"models/{FILES[name]}.onnx")
    assert found.spec is not None
    assert found.entry is not None
    size = (found.entry.input.width, found.entry.input.height)
    plain = tmp_path / "plain.onnx"
    prepared = prepare(found.path)
    plain.write_bytes(prepared.content)
    quantised = quantise(plain, tmp_path / "q.onnx", spec=found.spec, size=size, images=images[:2])
    made = build(
        BuildRequest(model=quantised, output=tmp_path / "m.engine", name=name, spec=found.spec, calibration="c" * 64)
    )
    assert (made.recipe.precision, made.recipe.calibration) == ("int8", "c" * 64)
    nodes = [node for node in onnx.load(str(quantised)).graph.node if node.op_type in ("Conv", "DequantizeLinear")]
    kinds = Counter(node.op_type for node in nodes)
    assert kinds["DequantizeLinear"] > kinds["Conv"], "nearly every convolution takes INT8 pictures and weights"


def test_the_key_follows_the_int8_form_and_the_model_is_the_fp32_file(
    shared: Path, tmp_path: Path, images: list[Image]
) -> None:
    model = shared / "models/yolox_nano.onnx"
    found = REGISTRY.resolve(model)
    assert found.spec is not None
    made = []
    for count in (1, 2):
        form = quantise(model, tmp_path / f"{count}.onnx", spec=found.spec, size=(416, 416), images=images[:count])
        made.append(build(order(model, tmp_path / "m.engine", "int8", quantised=form, calibration="c" * 64)))
    assert made[0].key != made[1].key
    assert made[0].recipe.model_sha256 == made[1].recipe.model_sha256 == inspect(model).digest
    assert made[0].recipe.steps[0].startswith("int8 form ")


def test_half_precision_halves_the_plan(shared: Path, tmp_path: Path) -> None:
    model = shared / "models/yolox_tiny_humanart.onnx"
    sizes = [build(order(model, tmp_path / f"{p}.engine", p)).size for p in ("fp32", "fp16")]
    assert sizes[1] < 0.65 * sizes[0]


def test_an_open_batch_is_made_for_as_many_as_are_wanted(shared: Path, tmp_path: Path) -> None:
    model = shared / "models/yolo11n.onnx"
    made = build(order(model, tmp_path / "m.engine", batch=4))
    assert made.recipe.shapes == {"images": [[1, 3, 640, 640], [4, 3, 640, 640], [4, 3, 640, 640]]}
    made = build(order(shared / "models/yolox_nano.onnx", tmp_path / "m.engine", batch=2))
    assert made.recipe.shapes == {"images": [[1, 3, 416, 416], [2, 3, 416, 416], [2, 3, 416, 416]]}
    assert made.recipe.steps == ("batch opened",)
    assert made.batch == 2


def test_a_refused_node_is_named(shared: Path, tmp_path: Path) -> None:
    model = onnx.load(str(shared / "models/yolox_nano.onnx"))
    node = next(n for n in model.graph.node if n.op_type == "Sigmoid")
    node.name, node.op_type, node.domain = "head/strange", "Wobble", "example"
    model.opset_import.append(onnx.helper.make_opsetid("example", 1))
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(ModelError, match=r"TensorRT cannot read m\.onnx at node head/strange \(Wobble\): "):
        build(order(tmp_path / "m.onnx", tmp_path / "m.engine"))
    assert list(tmp_path.glob("*.engine*")) == []


def test_a_graph_that_parses_but_does_not_build_is_told(shared: Path, tmp_path: Path) -> None:
    """An operator that this TensorRT reads and has no code for."""
    model = onnx.load_from_string(prepare(shared / "models/yolox_tiny_humanart.onnx").content)
    weights = [onnx.numpy_helper.from_array(np.array([9], np.int64), "most")]
    model.graph.initializer.extend(weights)
    boxes, scores = (output.name for output in model.graph.output)
    model.graph.node.append(onnx.helper.make_node("NonMaxSuppression", [boxes, scores, "most"], ["kept"], name="nms"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("kept", onnx.TensorProto.INT64, ["n", 3]))
    onnx.save(model, str(tmp_path / "m.onnx"))
    from detector.models.engines import builder

    with pytest.raises(ModelError, match=r"TensorRT \S+ cannot build m\.onnx: .*nms"):
        _plan_as_it_is(builder, tmp_path / "m.onnx", shared)


def _plan_as_it_is(builder: Any, path: Path, shared: Path) -> None:
    """The builder's own steps on a graph whose outputs no decoder knows."""
    from detector.core.progress import quiet
    from detector.models.engines.prepare import Prepared
    from detector.models.engines.progress import Phases

    said()  # what other tests made it say
    known = prepare(shared / "models/yolox_tiny_humanart.onnx")
    prepared = Prepared(
        content=path.read_bytes(),
        sha256="",
        precision="fp32",
        metadata={},
        layout=known.layout,
        spec=known.spec,
        steps=(),
    )
    builder._plan(
        order(path, path.with_suffix(".engine")), prepared, environment(), Phases(quiet, builder.never), builder.never
    )


def test_a_file_cut_short_is_told(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes((shared / "models/yolox_nano.onnx").read_bytes()[:3_000_000])
    with pytest.raises(ModelError, match=r"m\.onnx is not an ONNX model, or is cut short"):
        build(BuildRequest(model=tmp_path / "m.onnx", output=tmp_path / "m.engine", name="m"))


def test_a_build_can_be_stopped(shared: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    with pytest.raises(BuildCancelledError, match="stopped: no engine was written"):
        build(
            order(shared / "models/yolox_nano.onnx", tmp_path / "m.engine"),
            report=lambda done, *_: seen.append(done),
            cancelled=lambda: len(seen) > 20,
        )
    assert len(seen) < 100, "it ended soon after"
    assert list(tmp_path.iterdir()) == []


def test_the_timings_are_kept_and_a_damaged_cache_stops_nothing(shared: Path, tmp_path: Path) -> None:
    wanted = order(shared / "models/yolox_nano.onnx", tmp_path / "m.engine")
    build(wanted)
    (cache,) = tmp_path.glob("timing-*.cache")
    assert cache.stat().st_size > 0
    cache.write_bytes(b"damaged")
    build(wanted)
    assert cache.read_bytes() != b"damaged"


def test_without_a_driver_the_engine_is_none_and_refused(shared: Path, tmp_path: Path) -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("this machine has a driver")
    output = tmp_path / "m.engine"
    made = build(order(shared / "models/yolox_nano.onnx", output))
    with pytest.raises(ModelError, match=r"TensorRT cannot load .*m\.engine .*: run detector build"):
        tensorrt._deserialise(output, made)


def test_the_gate_falls_back_to_the_next_precision(shared: Path, tmp_path: Path, images: list[Image]) -> None:
    """Real plans and manifests; the detections are ONNX Runtime's, since no GPU runs the plans here."""
    model = shared / "models/yolox_nano.onnx"
    orders = [order(model, tmp_path / f"{p}.engine", p) for p in ("fp16", "fp32")]
    opened: list[str] = []

    def open_engine(path: Path) -> PersonDetector:
        opened.append(path.stem)
        if path.stem == "fp16":  # as if half precision found other people
            return load_detector(path=shared / "models/yolox_nano.onnx", name="off", score_floor=0.9)
        return reference()

    def reference() -> PersonDetector:
        return load_detector(path=model, name="reference", spec=REGISTRY.resolve(model).spec)

    def run(**other: Any) -> Any:
        return build_gated(orders, open_engine=open_engine, reference=reference, pictures=pictures, **other)

    def pictures() -> Iterator[Image]:
        yield from images

    done = run()
    assert done.path == tmp_path / "fp32.engine"
    assert done.choice.note.startswith("fp16 was refused: it misses ")
    refused, accepted = (manifest.read(tmp_path / f"{p}.engine") for p in ("fp16", "fp32"))
    assert accepted.verdict is not None
    assert refused.verdict is not None
    assert (refused.verdict.accepted, accepted.verdict.accepted) == (False, True)
    assert accepted.judged_in == environment().key
    manifest.require_fit(done.path, accepted, environment())
    assert opened == ["fp16", "fp32"]
    assert run().choice == done.choice, "what is known is not asked again"
    assert opened == ["fp16", "fp32"]
    _new_driver(tmp_path / "fp32.engine")
    stamp = done.path.stat().st_mtime_ns
    run()
    assert opened == ["fp16", "fp32"] * 2, "another driver is another judgement"
    assert done.path.stat().st_mtime_ns == stamp, "but the same engine"
    run(force=True)
    assert done.path.stat().st_mtime_ns > stamp


def test_what_is_screened_out_is_not_built(shared: Path, tmp_path: Path, images: list[Image]) -> None:
    model = shared / "models/yolox_nano.onnx"
    orders = [order(model, tmp_path / f"{p}.engine", p, calibration="c" * 64) for p in ("int8", "fp32")]

    def screen(order: BuildRequest) -> None:
        if order.precision == "int8":
            raise ModelError("it misses 3 of 40 persons (as ONNX Runtime runs it)")

    done = build_gated(
        orders,
        open_engine=lambda _path: load_detector(path=model, name="m"),
        reference=lambda: load_detector(path=model, name="reference"),
        pictures=lambda: images,
        screen=screen,
    )
    assert done.choice.note == "int8 was refused: it misses 3 of 40 persons (as ONNX Runtime runs it)"
    assert sorted(path.suffix for path in tmp_path.glob("int8*")) == []
    assert manifest.read(done.path).note == done.choice.note, "whoever serves it later can say so"


def _new_driver(engine: Path) -> None:
    """As if the verdict had been reached under another driver."""
    path = manifest.path_of(engine)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "judged_in": "before"}))


def test_nothing_is_kept_for_the_service_when_all_are_refused(
    shared: Path, tmp_path: Path, images: list[Image]
) -> None:
    model = shared / "models/yolox_nano.onnx"
    wanted = order(model, tmp_path / "fp32.engine", "fp32")

    def blind() -> PersonDetector:
        return load_detector(path=model, name="blind", score_floor=1.0)

    with pytest.raises(ModelError, match="no engine was accepted: fp32 was refused: it misses"):
        build_gated(
            [wanted],
            open_engine=lambda _path: blind(),
            reference=lambda: load_detector(path=model, name="reference"),
            pictures=lambda: images,
        )
    with pytest.raises(ModelError, match="was refused"):
        manifest.require_fit(wanted.output, manifest.read(wanted.output), environment())
