"""What each way to make a model smaller costs and gains."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("quantize", "--shared", shared)


def render(figures: Figures) -> list[str]:
    return [
        "Person-only models; time over ONNX Runtime fp32 of the same model, one thread, in turns (TensorRT's form runs",
        "slowly on a CPU, so it is not timed). Every second COCO picture calibrates, the others and every 20th frame of",
        'vtest.avi judge. "found" is what `detector quantize` comes to within 0.5 points on those COCO pictures: its',
        "vtest AP alone is independent. 32 pictures leave about half a point of noise.",
        "",
        "| model | form | runtime | time | MB | AP | vtest AP | |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in figures["rows"]),
    ]


def _row(row: Figures) -> str:
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    cells = [
        *(row["model"], row["what"], row["runtime"], ratio, f"{row['size'] / 1e6:.1f}"),
        *(f"{row['coco_ap']:.3f}", f"{row['street_ap']:.3f}", row["note"]),
    ]
    return f"| {' | '.join(cells)} |"


SECTION = ResultSection(
    name="quantized", order=28, title="Quantised models", measure=measure, render=render, packages=("onnx",)
)
