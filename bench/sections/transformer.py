"""A transformer detector in each form."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("transformer", "--images", shared / "media" / "coco" / "images")


def render(figures: Figures) -> list[str]:
    over = figures["export_over_pytorch"]
    return [
        f"{figures['model']} with {figures['weights']} weights (no package has trained ones): its accuracy means nothing, so",
        f"each form is compared with fp32 in ONNX Runtime, query by query. {figures['input'][0]}x{figures['input'][1]},",
        f"{figures['nodes']} nodes; the export differs from PyTorch by {over['px']:.2g} px and {over['score']:.2g} in score.",
        "Time relative to fp32 in ONNX Runtime, one thread, in turns.",
        "",
        "| form | runtime | MB | time | px, median | px, most | score, most |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['form']} | {row['runtime']} | {row['size'] / 1e6:.1f} | {row['time_ratio']:.2f} | {row['px_median']:.2g} "
            f"| {row['px_max']:.2g} | {row['score_max']:.2g} |"
            for row in figures["rows"]
        ),
    ]


SECTION = ResultSection(
    name="transformer",
    order=29,
    title="A transformer detector",
    measure=measure,
    render=render,
    packages=("torch", "transformers", "onnx"),
)
