"""Which visits are found, by people's height and by condition."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command
from bench.visit_plots import curves
from bench.visit_report import VisitTarget, target_rows

PICTURE = "visits.svg"
_CONFIGS = ("default", "without-crops:motion.crops_per_s=0", "640x384:size=640x384,motion.crops_per_s=0")


def measure(shared: Path) -> Figures:
    return command("visits", "--quick", "--part", "judge", "--shared", shared, "--configs", *_CONFIGS)


def render(figures: Figures) -> list[str]:
    rows = figures["summary"]
    lines = [
        "People of the shared clips, made small and set into other pictures of 1920x1080, 1280x720 and 480x270, through the",
        "service's own pipeline (`python -m bench.visits --quick --part judge`): visits found of all. `clear` is by day, also at",
        "the picture's edge, behind posts, under a fisheye, from above and several groups at once; `poor` is dusk, infrared,",
        "out of focus, motion blur and strong compression. Nothing was chosen by these scenes. `scenes` says in how many a config was",
        "measured (a run may be broken off, or take only some); counts do not depend on the machine's load, times do.",
        "",
        f"![Share of visits found, by height and by cost]({PICTURE})",
        "",
    ]
    for title, kinds in (("by height in px", ("clear", "poor")), ("by condition", ("by_condition",))):
        lines += [*_table(rows, title, kinds), ""]
    lines += [
        "Time from entering to the confirmation, split and merged visits, false visits in the scenes without people, and cost:",
        "",
        "| config | scenes | median s | split | merged | false visits | runs | crops | model s | CPU s | media s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_costs(row) for row in rows),
        "",
    ]
    lines += ["The targets, and what the default config reaches in these scenes:", ""]
    lines += ["| quantity | target | measured | |", "|---|---|---|---|", *map(_target, target_rows(rows[0]))]
    return lines


def _comparable(rows: list[Figures]) -> list[Figures]:
    """Those that were measured in as many visits as the first: a curve of some scenes cannot stand beside one of all."""
    return [row for row in rows if row["all"][1] == rows[0]["all"][1]]


def _target(row: VisitTarget) -> str:
    verdict = "too little to say" if row.met is None else "met" if row.met else "missed"
    return f"| {row.quantity} | {row.wanted} | {row.measured} | {verdict} |"


def _table(rows: list[Figures], title: str, kinds: tuple[str, ...]) -> list[str]:
    columns = [(kind, name) for kind in kinds for name in dict.fromkeys(n for row in rows for n in row[kind])]
    heads = [f"{name}, {kind}" if len(kinds) > 1 else name for kind, name in columns]
    return [
        f"| {title} | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
        *(f"| {row['config']} | {' | '.join(_share(row[kind].get(name)) for kind, name in columns)} |" for row in rows),
    ]


def _share(share: list[int] | None) -> str:
    return "" if share is None else f"{share[0]}/{share[1]}"


def _costs(row: Figures) -> str:
    seconds = "" if row["median_s"] is None else f"{row['median_s']:.1f}"
    false = f"{row['false_visits']} in {row['false_hours'] * 60:.0f} min"
    keys = ("whole_runs", "window_runs", "model_s", "cpu_s", "media_s")
    cells = [
        row["config"],
        str(row["scenes"]),
        seconds,
        str(row["split"]),
        str(row["merged"]),
        false,
        *(str(row[key]) for key in keys),
    ]
    return f"| {' | '.join(cells)} |"


SECTION = ResultSection(
    name="visits",
    order=84,
    title="Visits found",
    measure=measure,
    render=render,
    pictures=lambda figures: {PICTURE: curves(_comparable(figures["summary"]))},
)
