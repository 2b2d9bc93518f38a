"""What an ONNX file tells without running it: digest, metadata, precision.

A walk over the protobuf wire format (protobuf.dev, "Encoding") that skips the weights, so that the
service needs no onnx package. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detector.errors import ModelError

from .base import existing_file

_GRAPH, _METADATA = 7, 14  # ModelProto
_NODE, _INITIALIZER = 1, 5  # GraphProto
_OP_TYPE = 4  # NodeProto
_DATA_TYPE, _FLOAT, _FLOAT16 = 2, 1, 10  # TensorProto
_QUANTISED = {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """`digest` is sha256 in hex; `precision` fp32, fp16 or int8, as the weights and operators have it."""

    digest: str
    precision: str
    metadata: dict[str, str]


def inspect(path: Path) -> OnnxFile:
    """Reads `path`; raises ModelError when it is no ONNX model."""
    try:
        data = memoryview(existing_file(path).read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    try:
        operators, weights, metadata = _walk(data)
    except (ValueError, IndexError):
        operators, weights, metadata = set(), Counter(), {}
    if not operators:
        raise ModelError(f"{path} is not an ONNX model, or is cut short: fetch or export it again")
    return OnnxFile(
        digest=hashlib.sha256(data).hexdigest(), precision=_precision(operators, weights), metadata=metadata
    )


def _precision(operators: set[str], weights: Counter[int]) -> str:
    if operators & _QUANTISED:
        return "int8"
    return "fp16" if weights[_FLOAT16] > weights[_FLOAT] else "fp32"


def _walk(data: memoryview) -> tuple[set[str], Counter[int], dict[str, str]]:
    """Operators, bytes of weights by ONNX data type, metadata."""
    operators: set[str] = set()
    weights: Counter[int] = Counter()
    metadata: dict[str, str] = {}
    for field, value in _fields(data):
        if field == _METADATA and isinstance(value, memoryview):
            entry = {number: bytes(text).decode() for number, text in _fields(value) if isinstance(text, memoryview)}
            metadata[entry.get(1, "")] = entry.get(2, "")
        elif field == _GRAPH and isinstance(value, memoryview):
            _walk_graph(value, operators, weights)
    return operators, weights, metadata


def _walk_graph(graph: memoryview, operators: set[str], weights: Counter[int]) -> None:
    for field, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if field == _NODE:
            operators.update(
                bytes(v).decode() for n, v in _fields(value) if n == _OP_TYPE and isinstance(v, memoryview)
            )
        elif field == _INITIALIZER:
            kind = next((v for n, v in _fields(value) if n == _DATA_TYPE and isinstance(v, int)), 0)
            weights[kind] += len(value)


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
