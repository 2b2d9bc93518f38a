"""Facts about an ONNX file without running it: sha256, metadata, precision.

Parses the protobuf wire format (protobuf.dev, "Encoding") and skips the weights, so that the service
does not import the onnx package. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detector.core.errors import ModelError
from detector.core.files import existing_file

_GRAPH, _OPSET, _METADATA = 7, 8, 14  # ModelProto
_NODE, _INITIALIZER = 1, 5  # GraphProto
_OP_TYPE = 4  # NodeProto
_DATA_TYPE, _EXTERNAL, _FLOAT, _FLOAT16 = 2, 13, 1, 10  # TensorProto
INT8_FOR = "detector.int8_for"
"""Metadata key of an INT8 file: the runtime that its Q/DQ pairs are placed for."""

UNPACK = "detector.unpack"
"""Metadata key of a file whose weights are unpacked once, while loading (INT4 convolutions)."""

_QUANTISED = {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """`digest` is sha256 in hex; `precision` fp32, fp16 or int8, as the weights and operators have it.

    `operators` are the types of the graph's nodes.
    """

    digest: str
    precision: str
    metadata: dict[str, str]
    operators: frozenset[str] = frozenset()


class _Contents:
    """The parsed contents: operators, bytes of weights by ONNX data type, files of external data, metadata."""

    def __init__(self, data: memoryview) -> None:
        self.operators: set[str] = set()
        self.weights: Counter[int] = Counter()
        self.external: set[str] = set()
        self.metadata: dict[str, str] = {}
        self.versioned = False  # every complete model names its operator set, and exporters write that last
        for field, value in _parts(data):
            if field == _METADATA:
                key, text = _entry(value)
                self.metadata[key] = text
            elif field == _OPSET:
                self.versioned = True
            elif field == _GRAPH:
                self._walk_graph(value)

    def _walk_graph(self, graph: memoryview) -> None:
        for field, value in _parts(graph):
            if field == _NODE:
                self.operators.update(bytes(text).decode() for number, text in _parts(value) if number == _OP_TYPE)
            elif field == _INITIALIZER:
                self._walk_tensor(value)

    def _walk_tensor(self, tensor: memoryview) -> None:
        for field, value in _fields(tensor):
            if field == _DATA_TYPE and isinstance(value, int):
                self.weights[value] += len(tensor)
            elif field == _EXTERNAL and isinstance(value, memoryview):
                key, text = _entry(value)
                if key == "location":
                    self.external.add(text)

    @property
    def precision(self) -> str:
        if self.operators & _QUANTISED:
            return "int8"
        return "fp16" if self.weights[_FLOAT16] > self.weights[_FLOAT] else "fp32"


def inspect(path: Path) -> OnnxFile:
    """Read `path` and its external data files; raises ModelError if it is not a complete ONNX model."""
    try:
        data = existing_file(path).read_bytes()
        contents = _contents(path, memoryview(data))
        digest = hashlib.sha256(data)
        for name in sorted(contents.external):
            if not (second := path.parent / name).is_file():
                raise ModelError(
                    f"{path.name} keeps its weights in a second file, {name}, which is missing: put it beside it"
                )
            digest.update(second.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    return OnnxFile(
        digest=digest.hexdigest(),
        precision=contents.precision,
        metadata=contents.metadata,
        operators=frozenset(contents.operators),
    )


def metadata_bytes(key: str, value: str) -> bytes:
    """A ModelProto with one metadata entry: appended to a model's bytes it becomes one of the model's entries.

    Concatenated protobuf messages are merged (protobuf.dev, "Encoding": repeated fields are concatenated).
    """
    entry = b"".join(_field(number, text.encode()) for number, text in ((1, key), (2, value)))
    return _field(_METADATA, entry)


def _field(number: int, data: bytes) -> bytes:
    return _varint_bytes(number << 3 | 2) + _varint_bytes(len(data)) + data


def _varint_bytes(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _contents(path: Path, data: memoryview) -> _Contents:
    try:
        contents = _Contents(data)
        if contents.operators and contents.versioned:
            return contents
    except (ValueError, IndexError):
        pass
    raise ModelError(f"{path} is not an ONNX model, or is cut short: fetch or export it again")


def _entry(data: memoryview) -> tuple[str, str]:
    """A StringStringEntryProto's key and value."""
    texts = {field: bytes(text).decode() for field, text in _parts(data)}
    return texts.get(1, ""), texts.get(2, "")


def _parts(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields that have a length."""
    return ((field, value) for field, value in _fields(data) if isinstance(value, memoryview))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values: whole numbers as int, anything with a length as bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, position = _varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if position + length > len(data):
            raise ValueError("cut short")
        yield tag >> 3, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number of more than 64 bits")
