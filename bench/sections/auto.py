"""What `backend: auto` takes here, what that saves, and what it costs in accuracy."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("auto", "--shared", shared)


def render(figures: Figures) -> list[str]:
    rows = [
        "The variant that the service would choose from the earlier half of each set of pictures (docs/tuning.md). Points of",
        "person AP lost relative to ONNX Runtime fp32 in the same sizes, on all pictures and on the later half only, which was",
        "not used for calibration; wall and CPU time as a multiple of B, interleaved.",
        "",
        "| model | pictures | taken | AP fp32 | AP | lost | lost, later half | time / B | CPU / B |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {row['model']} | {row['pictures']} | {row['taken']} | {row['ap_fp32']:.3f} | {row['ap']:.3f} "
        f"| {row['lost']:.2f} | {row['lost_unseen']:.2f} | {row['ms_over_b']:.2f} | {row['cpu_over_b']:.2f} |"
        for row in figures["rows"]
    ]
    return rows


SECTION = ResultSection(name="auto", order=25, title="The choice of `backend: auto`", measure=measure, render=render)
