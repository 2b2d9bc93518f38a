"""Edits as pure functions from model to model; the result's metadata records its source and the edits.

They raise ModelError for unsupported graphs: a model is edited exactly or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import onnx

from detector.core.errors import ModelError
from detector.inference.layout import PIXELS, Layout, default_spec, find_layout
from detector.inference.spec import InputSpec
from detector.inference.tensors import TensorSpec

from .batch import open_first_axis
from .freeze import freeze
from .graph import Graph
from .person import cut_nms, keep_person
from .pixels import take_pixels
from .reshape import resize
from .simplify import simplify

SOURCE, STEPS = "detector.source_sha256", "detector.steps"
PRECISION_STEP = "int8"
_MULTIPLE = 32


def person_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the other classes: persons' boxes and scores are unchanged.

    End-to-end gives [1,K,6] as before, dense [1,5,N], YOLOX [1,N,6], YOLOX with NMS boxes [1,N,4] and
    scores [1,1,N] before its NMS. A model of any size is fixed to its default one.
    """
    layout = layout_of(model)
    graph = Graph(model)
    if is_dynamic(model):
        freeze(graph, layout.width, layout.height)
    added = keep_person(graph, layout)
    if layout.kind == "yolox-nms" or "names" in metadata_of(model):
        added["names"] = str({0: "person"})
    return _finished(graph, model, "person-only", added)


def before_nms(model: onnx.ModelProto) -> onnx.ModelProto:
    """A YOLOX model without its NMS: boxes [1,N,4], scores [1,classes,N], all its classes."""
    layout = layout_of(model)
    if layout.kind != "yolox-nms":
        raise ModelError(f"this model has no NMS to cut off: its outputs are {layout.kind}")
    graph = Graph(model)
    if is_dynamic(model):
        freeze(graph, layout.width, layout.height)
    return _finished(graph, model, "before NMS", cut_nms(graph, layout, person_only=False))


def reshape(model: onnx.ModelProto, width: int, height: int) -> onnx.ModelProto:
    """The same weights with an input of `width` x `height` px, both multiples of 32."""
    if width % _MULTIPLE or height % _MULTIPLE or min(width, height) < _MULTIPLE:
        raise ModelError(f"{width} x {height} px is no input size: both must be multiples of {_MULTIPLE}")
    layout = layout_of(model)
    if layout.kind == "detr":
        raise ModelError(
            "a transformer's size is chosen where it is exported (detector export --size): use it as it is"
        )
    if layout.pixels:
        raise ModelError("this model has its preprocessing folded in: change the size of the one without, then fold it")
    graph = Graph(model)
    old, new = (layout.width, layout.height), (width, height)
    if not any(_input_sides(model)[2:]):  # the size itself is open
        freeze(graph, *new)
    else:
        if is_dynamic(model):  # in its batch alone: the size is in the constants
            freeze(graph, *old)
        resize(graph, old, new)
    made = _finished(graph, model, f"size {width}x{height}", {"imgsz": str([height, width])})
    found = layout_of(made)
    if (found.kind, found.width, found.height) != (layout.kind, width, height):
        raise ModelError(f"this model cannot be made for another size (it became {found.kind})")
    return made


def open_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model for any number of pictures per run; one with a dynamic batch is returned unchanged."""
    if not _input_sides(model)[0]:
        return model
    graph = Graph(model)
    open_first_axis(graph)
    made = graph.finish()
    for info in (*made.graph.input, *made.graph.output):
        info.type.tensor_type.shape.dim[0].dim_param = "batch"  # replaces the number
    del made.graph.value_info[:]  # they are of one picture, and runtimes believe them
    return stepped(made, model, "open batch")


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same results with fewer nodes: see `simplify`; raises ModelError."""
    graph = Graph(model)
    simplify(graph)
    return _finished(graph, model, "simplified", {})


def pixels_in(model: onnx.ModelProto, spec: InputSpec | None = None) -> onnx.ModelProto:
    """The model with its preprocessing inside: it takes letterboxed BGR bytes, uint8 [1,height,width,3].

    The results are the same as with bytes converted, scaled and put in planes outside; resizing and padding of the
    picture stay outside. `spec` None: as models of the layout are commonly trained. A dynamic size becomes the default
    one.
    """
    layout = layout_of(model)
    if layout.pixels:
        raise ModelError("this model takes bytes already: its preprocessing is folded in")
    usual = default_spec(layout)
    spec = spec or usual
    if (spec.placement, spec.pad) != (usual.placement, usual.pad):
        raise ModelError(
            f"its letterbox ({spec.placement}, {spec.pad}) is not the usual one: leave preprocessing outside"
        )
    graph = Graph(model)
    if is_dynamic(model):
        freeze(graph, layout.width, layout.height)
    take_pixels(graph, spec)
    return _finished(graph, model, "pixels in", {PIXELS: f"bgr, {spec.placement}, pad {spec.pad}"})


def layout_of(model: onnx.ModelProto) -> Layout:
    """The model's layout, as a backend would find it; raises ModelError."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [_spec(info) for info in model.graph.input if info.name not in stored]
    return find_layout(inputs, [_spec(info) for info in model.graph.output], metadata_of(model))


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """Its metadata by key."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _finished(graph: Graph, source: onnx.ModelProto, step: str, added: Mapping[str, str]) -> onnx.ModelProto:
    return stepped(graph.finish(), source, step, added)


def stepped(
    made: onnx.ModelProto, source: onnx.ModelProto, step: str, added: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """`made` from `source` by `step`, with metadata: the first source's hash and all steps are kept."""
    known = metadata_of(source)
    digest = known.get(SOURCE) or hashlib.sha256(source.SerializeToString(deterministic=True)).hexdigest()
    steps = "; ".join(filter(None, (known.get(STEPS), step)))
    onnx.helper.set_model_props(made, {**known, **(added or {}), SOURCE: digest, STEPS: steps})
    return made


def steps_of(model: onnx.ModelProto) -> str:
    """The edits of a model as text; "" for an unedited one."""
    return metadata_of(model).get(STEPS, "")


def is_dynamic(model: onnx.ModelProto) -> bool:
    """Whether the input's batch or size is dynamic."""
    return not all(_input_sides(model))


def _input_sides(model: onnx.ModelProto) -> list[int]:
    """Batch, channels, height, width; 0 if dynamic."""
    stored = {tensor.name for tensor in model.graph.initializer}
    picture = next(info for info in model.graph.input if info.name not in stored)
    return [dim.dim_value for dim in picture.type.tensor_type.shape.dim]


def _spec(info: onnx.ValueInfoProto) -> TensorSpec:
    kind = info.type.tensor_type
    shape = tuple(dim.dim_value or None for dim in kind.shape.dim)
    return TensorSpec(info.name, shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)
