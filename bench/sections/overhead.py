"""The pipeline over its own bare model, on 1080p pictures."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("overhead", "--shared", shared)


def render(figures: Figures) -> list[str]:
    return [
        "The median from frame in hand to detections over the median bare run, interleaved in one process; 1080p.",
        "",
        "| model | ratio | preprocess ms | model ms | outputs ms |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {one['ratio']:.3f} | {one['stages_ms']['preprocess']:.2f} | {one['stages_ms']['infer']:.2f} "
            f"| {one['stages_ms']['decode_outputs']:.2f} |"
            for name, one in figures.items()
        ),
    ]


SECTION = ResultSection(name="overhead", order=40, title="Pipeline over model", measure=measure, render=render)
