"""How well people are followed, beside another tracker on the same boxes."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("tracking", "--shared", shared)


def render(tracking: Figures) -> list[str]:
    return [
        "vtest.avi (PETS 2009 S2L1), IoU 0.5, by motmetrics; both trackers on the same boxes in the same run.",
        "",
        *_table(tracking),
        "",
        *_visits(tracking),
    ]


def _table(tracking: Figures) -> list[str]:
    rows = ["| boxes of | frames | tracker | MOTA | IDF1 | switches | ms per update |", "|---|---|---|---|---|---|---|"]
    for row in tracking["vtest"]:
        score = row["score"]
        rows.append(
            f"| {Path(row['model']).stem} | {row['frames']} | {row['tracker']} | {score['mota']:.3f} "
            f"| {score['idf1']:.3f} | {score['switches']} | {row['ms_per_update']:.2f} |"
        )
    if tracking["package_missing"]:
        rows.append(f"\nThe `trackers` package was left out: {tracking['package_missing']}.")
    return rows


def _visits(tracking: Figures) -> list[str]:
    seen = dict(tracking["one_by_one"])
    real = seen.pop("record")["true"]
    return [
        f"One-by-one clip, {real} true visits; found with {Path(model).stem}: "
        + ", ".join(f"{count} at {rate}" for rate, count in counts.items()) + "."
        for model, counts in seen.items()
    ]  # fmt: skip


SECTION = ResultSection(name="tracking", order=80, title="Tracking", measure=measure, render=render)
