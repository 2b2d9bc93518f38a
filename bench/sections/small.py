"""Whether crops find people who are small in the picture, and what they cost."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("small", "--shared", shared)


def render(figures: Figures) -> list[str]:
    return [
        "`motion.crops_per_s`: small moving things that no person found in the whole picture explains are cropped at native",
        "resolution and detected again. In vtest.avi the people in the upper half of the picture count as far; in the wide",
        "scene, four parts of it side by side at 1536x1152, all people do. Recall and precision at score 0.5 and IoU 0.5; ms is",
        "the model's time per detected frame. If the model's input is hardly smaller than the picture (YOLOv10n on vtest.avi)",
        "there are no crops. People on the road at the top, behind the sign, and cut by the picture's edge are not annotated in",
        "vtest.avi and count as false. The last rows are without people: still pictures, panned so that everything moves.",
        "",
        "| model | scene | crops/s | frames | crops | ms | far recall | far precision | MOTA | IDF1 | events | alerts |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in figures["rows"]),
    ]


def _row(row: Figures) -> str:
    scored = (row["far_recall"], row["far_precision"], row["mota"], row["idf1"])
    cells = [
        *(row["model"], row["scene"], f"{row['crops_per_s']:g}", str(row["looked_at"]), str(row["close_ups"])),
        f"{row['ms_per_frame']:.1f}",
        *("" if value is None else f"{value:.3f}" for value in scored),
        *(str(row["events"]), str(row["alerts"])),
    ]
    return f"| {' | '.join(cells)} |"


SECTION = ResultSection(name="small", order=85, title="Small people", measure=measure, render=render)
