"""Which visits are found, by people's height and by condition."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command

_CONFIGS = ("default", "without-crops:motion.crops_per_s=0", "640x384:size=640x384,motion.crops_per_s=0")


def measure(shared: Path) -> Figures:
    return command("visits", "--quick", "--part", "judge", "--shared", shared, "--configs", *_CONFIGS)


def render(figures: Figures) -> list[str]:
    rows = figures["summary"]
    heights = list(dict.fromkeys(name for row in rows for name in row["by_height"]))
    conditions = list(dict.fromkeys(name for row in rows for name in row["by_condition"]))
    return [
        "People of the shared clips, made small and set into other pictures of 1280x720 and 480x270, through the service's own",
        "pipeline (`python -m bench.visits --quick --part judge`): visits found of all, by the person's height in px and by",
        "condition; the median time from entering the picture to the confirmation; false visits in the scenes without people.",
        "Nothing was chosen by these scenes.",
        "",
        f"| config | {' | '.join(f'{name} px' for name in heights)} | {' | '.join(conditions)} | s | false | runs | crops |",
        f"|---|{'---|' * (len(heights) + len(conditions) + 4)}",
        *(_row(row, heights, conditions) for row in rows),
    ]


def _row(row: Figures, heights: list[str], conditions: list[str]) -> str:
    found = [row["by_height"].get(name) for name in heights] + [row["by_condition"].get(name) for name in conditions]
    shares = ["" if share is None else f"{share[0]}/{share[1]}" for share in found]
    seconds = "" if row["median_s"] is None else f"{row['median_s']:.1f}"
    false = f"{row['false_visits']} in {row['false_hours'] * 60:.0f} min"
    return (
        f"| {' | '.join([row['config'], *shares, seconds, false, str(row['whole_runs']), str(row['window_runs'])])} |"
    )


SECTION = ResultSection(name="visits", order=84, title="Visits found", measure=measure, render=render)
