"""Whether closer looks find people who are small in the picture, and what they cost."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("small", "--shared", shared)


def render(figures: Figures) -> list[str]:
    return [
        "`motion.crops_per_s`: what moves, is small and is not explained by a person found in the whole picture is cropped",
        "at native resolution and shown to the model again. On vtest.avi the people in the upper half of the picture count",
        "as far; in the wide scene, four parts of it side by side at 1536x1152, everybody does. Recall and precision at score",
        "0.5 and IoU 0.5; ms is the model's time a frame that it looked at. Where the model's input is hardly smaller than",
        "the picture (YOLOv10n on vtest.avi) there are no closer looks. Not marked in vtest.avi, and so counted as false, are",
        "people on the road at its top, behind the sign, and cut by the picture's edge. The last rows have nobody in them:",
        "still pictures, panned over so that everything moves.",
        "",
        "| model | scene | looks/s | frames | closer looks | ms | far recall | far precision | MOTA | IDF1 | events | alerts |",
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
