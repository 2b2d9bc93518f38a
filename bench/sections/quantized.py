"""Accuracy, size and time of each way to quantise a model."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("quantize", "--shared", shared)


def render(figures: Figures) -> list[str]:
    return [
        "Person-only models; time relative to ONNX Runtime fp32 of the same model, one thread, in turns (TensorRT's form is",
        "slow on a CPU, so it is not timed). Calibrated on every second COCO picture, evaluated on the others and on every 20th",
        'frame of vtest.avi. "found" is the result of `detector quantize` within 0.5 points on those COCO pictures: only its',
        "vtest AP is independent. With 32 pictures the noise is about half a point.",
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
