"""Time and accuracy of each variant of a model."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("variants", "--shared", shared)


def render(figures: Figures) -> list[str]:
    rows = [
        "Bare runs with ONNX Runtime in one thread, interleaved, as a ratio to B (YOLOv10n fp32 640x640) and to the unchanged",
        "model; person AP on COCO-64 and on every 20th frame of vtest.avi. INT8 was calibrated on half of COCO-64.",
        "",
        "| model | input | head | precision | over B | over its own | AP | AP50 | vtest AP |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in figures["rows"]:
        width, height = row["shape"]
        rows.append(
            f"| {row['model']} | {width}x{height} | {'person' if row['person_only'] else 'whole'} | {row['precision']} "
            f"| {row['ratio']:.3f} | {row['own_ratio']:.3f} | {row['coco_ap']:.3f} | {row['coco_ap50']:.3f} "
            f"| {row['street_ap']:.3f} |"
        )
    return rows


SECTION = ResultSection(name="variants", order=20, title="Variants", measure=measure, render=render, packages=("onnx",))
