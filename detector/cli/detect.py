"""`detector detect`: detection in pictures and videos."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detector.core.errors import SourceError, UsageError

from .load import DEFAULT_MODEL, BackendOption, JsonOption, ModelOption, ShapeOption

if TYPE_CHECKING:
    from detector.core.types import Floats, Image
    from detector.inference.multi_size import AnyDetector

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
FLOOR = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _ImageResult:
    source: Path
    frame: int
    image: Image
    boxes: Floats
    scores: Floats
    infer_ms: float

    def document(self) -> dict[str, object]:
        """The contract's JSON line; boxes in source px."""
        found = zip(self.boxes.tolist(), self.scores.tolist(), strict=True)
        return {
            "source": str(self.source),
            "frame": self.frame,
            "width": self.image.width,
            "height": self.image.height,
            "detections": [{"box": [round(v, 2) for v in box], "score": round(score, 4)} for box, score in found],
            "infer_ms": round(self.infer_ms, 3),
        }


def _images(path: Path) -> Iterator[Image]:
    """The picture in `path`, or every frame of the video; raises SourceError."""
    if not path.exists():
        raise SourceError(f"no such file: {path}")
    if path.is_dir():
        raise SourceError(f"{path} is a folder: name the pictures or videos in it")
    from detector.capture.pictures import clip_frames, read_picture

    if path.suffix.lower() in PICTURES:
        yield read_picture(path)
        return
    for frame in clip_frames(path):
        yield frame.image


def _results(detector: AnyDetector, path: Path, score: float) -> Iterator[_ImageResult]:
    for index, image in enumerate(_images(path)):
        boxes, scores, infer_ms = detector.detect_image(image)
        keep = scores >= score
        yield _ImageResult(
            source=path, frame=index, image=image, boxes=boxes[keep], scores=scores[keep], infer_ms=infer_ms
        )


def _save(folder: Path, result: _ImageResult) -> None:
    from detector.core.jpeg import Label, encode_jpeg

    pairs = zip(result.boxes.tolist(), result.scores.tolist(), strict=True)
    labels = [Label(box=(b[0], b[1], b[2], b[3]), text=f"person {s:.2f}") for b, s in pairs]
    name = f"{result.source.stem}-{result.frame:06d}.jpg"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_jpeg(result.image, labels))
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from None


def _line(result: _ImageResult) -> str:
    count = len(result.scores)
    people = "1 person" if count == 1 else f"{count} persons"
    scores = ", ".join(f"{s:.2f}" for s in result.scores.tolist())
    return f"{result.source} frame {result.frame}: {people}{f' ({scores})' if scores else ''}"


def detect(
    sources: Annotated[list[Path], typer.Argument(metavar="IMAGE|VIDEO...", help="Pictures and videos.")],
    model: ModelOption = DEFAULT_MODEL,
    backend: BackendOption = "auto",
    score: Annotated[float, typer.Option("--score", metavar="S", help="Lowest score to report, 0 to 1.")] = 0.5,
    shape: ShapeOption = "auto",
    as_json: JsonOption = False,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Write pictures with the boxes drawn.")
    ] = None,
) -> int:
    """Detect people in pictures and videos. A file that cannot be read does not stop the others."""
    from .load import load

    if not 0 <= score <= 1:
        raise UsageError("--score must be between 0 and 1")
    detector = load(model, backend=backend, score_floor=max(1e-3, min(score, FLOOR)), shape=shape)
    failed = 0
    for path in sources:
        try:
            for result in _results(detector, path, score):
                typer.echo(json.dumps(result.document()) if as_json else _line(result))
                if save is not None:
                    _save(save, result)
        except SourceError as error:
            failed += 1
            typer.echo(f"detector: {error}", err=True)
    return 1 if failed else 0
