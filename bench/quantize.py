"""What each way to make a model smaller costs and gains: method by runtime, then what `detector quantize` finds.

    python -m bench.quantize [--shared DIR] [--models NAME...] [--rounds N] [--json FILE]

Person-only models. Times are ratios of bare runs, one thread, in turns, over ONNX Runtime fp32 of the same model; TensorRT's
form has none here. COCO pictures are halved: every second one calibrates, the others give the AP; vtest's frames only
judge. "found" rows are the search's under 0.5 AP points on those COCO halves, so that its vtest figure alone is
independent.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from bench.variants import street_set
from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Image
from detector.inference.backends.base import Precision
from detector.inference.factory import load_detector
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, evaluate
from detector.models.accuracy.gate import LabelledPictures
from detector.models.graph import fp16, int4
from detector.models.graph.qdq import ONNXRUNTIME, OPENVINO, TENSORRT, QdqStyle
from detector.models.graph.quantize import Calibrated
from detector.models.graph.variants import prepare
from detector.models.registry import load_registry
from detector.optimize.quantize.int8 import runtimes
from detector.optimize.quantize.quantize import METHODS, QuantizeRequest, quantize
from detector.optimize.quantize.search import Runtime
from detector.optimize.quantize.timing import race

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("yolox_tiny_humanart", "yolov10n")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeRow:
    """`ratio` over ONNX Runtime fp32, None where it was not timed; AP 0..1."""

    model: str
    what: str
    runtime: str
    ratio: float | None
    size: int
    coco_ap: float
    street_ap: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    what: str
    path: Path
    runtime: Runtime
    precision: Precision = "auto"
    timed: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _QuantizeData:
    pictures: list[Image]
    coco: LabelledPictures
    street: LabelledPictures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("DETECTOR_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if not (chosen.shared / "media").is_dir():
        print(f"no {chosen.shared / 'media'}: give --shared or set DETECTOR_SHARED", file=sys.stderr)
        return 1
    rows: list[QuantizeRow] = []
    print(f"{'model':20} {'what':20} {'runtime':12} {'ratio':>6} {'bytes':>9} {'AP':>6} {'street':>6}")
    with tempfile.TemporaryDirectory() as folder:
        data = _data(chosen.shared / "media", Path(folder))
        for name in chosen.models:
            for row in _measured(chosen.shared / "models" / f"{name}.onnx", data, Path(folder), chosen.rounds):
                rows.append(row)
                _print(row)
    if chosen.json:
        found: dict[str, Any] = {"load_average": os.getloadavg()[0], "rows": [dataclasses.asdict(row) for row in rows]}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _data(media: Path, folder: Path) -> _QuantizeData:
    images = media / "coco" / "images"
    files = sorted(images.iterdir())
    held = {file.name for file in files[1::2]}
    document = json.loads((media / "coco" / "person_instances.json").read_text(encoding="utf-8"))
    document["images"] = [entry for entry in document["images"] if entry["file_name"] in held]
    known = {entry["id"] for entry in document["images"]}
    document["annotations"] = [entry for entry in document["annotations"] if entry["image_id"] in known]
    (folder / "held.json").write_text(json.dumps(document), encoding="utf-8")
    frames, annotations = street_set(media / "video", folder)
    return _QuantizeData(
        pictures=[ArrayImage(np.asarray(cv2.imread(str(file)), np.uint8)) for file in files[::2]],
        coco=LabelledPictures(images=images, annotations=folder / "held.json"),
        street=LabelledPictures(images=frames, annotations=annotations),
    )


def _measured(source: Path, data: _QuantizeData, folder: Path, rounds: int) -> Iterator[QuantizeRow]:
    spec = load_registry().resolve(source).spec
    plain = prepare(source)
    variants = [
        _Variant(what="fp32", path=plain, runtime="onnxruntime"),
        *_made(plain, data, folder, runtimes(plain, name=source.stem, spec=spec)),
        *_found(plain, data, folder),
    ]
    with ExitStack() as stack:
        opened = [
            stack.enter_context(
                closing(
                    load_detector(
                        path=each.path,
                        name=source.stem,
                        spec=spec,
                        backend=each.runtime,
                        precision=each.precision,
                        threads=1,
                        score_floor=EVALUATION_FLOOR,
                    )
                )
            )
            for each in variants
        ]
        timed = [detector for each, detector in zip(variants, opened, strict=True) if each.timed]
        times = iter(race(timed, rounds=rounds))
        first = None
        for each, detector in zip(variants, opened, strict=True):
            ms = next(times) if each.timed else None
            first = first or ms
            coco, outdoors = (
                evaluate(detector=detector, images=truth.images, annotations=truth.annotations).ap
                for truth in (data.coco, data.street)
            )
            yield QuantizeRow(
                model=source.stem,
                what=each.what,
                runtime=each.runtime if each.timed else "tensorrt",
                ratio=round(ms / first, 3) if ms and first else None,
                size=each.path.stat().st_size,
                coco_ap=round(coco, 4),
                street_ap=round(outdoors, 4),
                note=each.note,
            )


def _made(plain: Path, data: _QuantizeData, folder: Path, able: list[Runtime]) -> Iterator[_Variant]:
    """Every form without a search: the head's last convolutions in floats."""
    source = onnx.load(str(plain))
    forms: list[tuple[Runtime, QdqStyle, bool]] = [("onnxruntime", ONNXRUNTIME, True), ("onnxruntime", TENSORRT, False)]
    if "openvino" in able:
        yield _Variant(what="bf16 or fp16", path=plain, runtime="openvino", precision="fp16")
        forms.insert(1, ("openvino", OPENVINO, True))
    for method in METHODS:
        by_sign = {
            signed: Calibrated.of(source, data.pictures, method=method, signed=signed) for signed in (False, True)
        }
        for runtime, form, timed in forms:
            calibrated = by_sign[form.signed]
            path = folder / f"{plain.stem}-{method}-{runtime}-{form.signed}.onnx"
            onnx.save(calibrated.quantised(form, calibrated.decoding(1)), str(path))
            yield _Variant(what=f"int8 {method}", path=path, runtime=runtime, timed=timed)
    half, _ = fp16.half(source, data.pictures[:8], name=plain.stem)
    onnx.save(half, str(folder / f"{plain.stem}-fp16.onnx"))
    yield _Variant(what="fp16", path=folder / f"{plain.stem}-fp16.onnx", runtime="onnxruntime")
    ready = int4.ready(source)
    packed = int4.pack(ready, int4.eligible(ready), source=source)
    onnx.save(packed.model, str(folder / f"{plain.stem}-int4.onnx"))
    yield _Variant(what="int4 all layers", path=folder / f"{plain.stem}-int4.onnx", runtime="onnxruntime")


def _found(plain: Path, data: _QuantizeData, folder: Path) -> Iterator[_Variant]:
    """What the command would write."""
    for precision in ("int8", "int4"):
        output = folder / f"{plain.stem}-found-{precision}.onnx"
        order = QuantizeRequest(
            model=plain,
            name=plain.stem,
            spec=None,
            precision=precision,
            target="cpu",
            output=output,
            pictures=data.pictures,
            truth=data.coco,
            cache=folder,
        )
        try:
            result = quantize(order, lambda _done, _total, _what: None)
        except ModelError as error:
            print(f"{plain.stem}: {error}", file=sys.stderr)
            continue
        if result is not None:
            runtime: Runtime = "openvino" if result.runtime == "openvino" else "onnxruntime"
            note = f"{result.method or ''} {len(result.kept)} of {result.layers} layers in floats".strip()
            yield _Variant(what=f"{precision} found", path=output, runtime=runtime, note=note)


def _print(row: QuantizeRow) -> None:
    ratio = "-" if row.ratio is None else f"{row.ratio:.3f}"
    print(
        f"{row.model:20} {row.what:20} {row.runtime:12} {ratio:>6} {row.size:9} {row.coco_ap:6.3f} "
        f"{row.street_ap:6.3f} {row.note}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
