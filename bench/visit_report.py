"""The tables of bench.visits: visits found by height and condition, delays, false visits, cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from .visit_conditions import CONDITIONS
from .visit_tally import FoundVisit, SceneResult

HEIGHTS = (0, 12, 16, 24, 36, 60, 130, 1000)
TARGETS = {"clear": {"12-16": 0.85, "16-24": 0.95, "24-": 0.98}, "poor": {"12-16": 0.6, "16-24": 0.8, "24-": 0.9}}
"""Share of visits to be found, by view and height in px; `poor` is dusk, infrared, blur, compression."""


VIEWS = {"clear": "by day", "poor": "dusk, infrared, blurred, compressed"}
_DELAY_S, _FALSE_AN_HOUR = 0.6, 0.1


def summarise(results: Sequence[SceneResult]) -> list[dict[str, Any]]:
    """Per config and part: visits by height and by condition, false visits, model runs."""
    groups = dict.fromkeys((result.config, result.part) for result in results)
    return [
        _summary(config, part, [one for one in results if (one.config, one.part) == (config, part)])
        for config, part in groups
    ]


def _summary(config: str, part: str, results: Sequence[SceneResult]) -> dict[str, Any]:
    visits = [visit for result in results for visit in result.visits]
    delays = [visit.found_after_s for visit in visits if visit.found_after_s is not None]
    marked = [result for result in results if result.false_visits is not None]
    return {
        "config": config,
        "part": part,
        "scenes": len(results),
        "all": _share(visits),
        "by_height": _by_height(visits),
        "clear": _by_height([visit for result in results if not _poor(result) for visit in result.visits]),
        "poor": _by_height([visit for result in results if _poor(result) for visit in result.visits]),
        "by_condition": {
            name: _share([visit for result in results if result.condition == name for visit in result.visits])
            for name in dict.fromkeys(result.condition for result in results if result.visits)
        },
        "by_condition_and_height": {
            name: _by_height([visit for result in results if result.condition == name for visit in result.visits])
            for name in dict.fromkeys(result.condition for result in results if result.visits)
        },
        "median_s": median(delays) if delays else None,
        "split": sum(result.split for result in results),
        "merged": sum(result.merged for result in results),
        "false_visits": sum(result.false_visits or 0 for result in marked),
        "false_hours": round(sum(result.media_s for result in marked) / 3600, 3),
        "whole_runs": sum(result.whole_runs for result in results),
        "window_runs": sum(result.window_runs for result in results),
        "media_s": round(sum(result.media_s for result in results), 1),
        "model_s": round(sum(result.model_s for result in results), 1),
        "cpu_s": round(sum(result.cpu_s for result in results), 1),
    }


def _poor(result: SceneResult) -> bool:
    return result.condition in CONDITIONS


def _by_height(visits: Sequence[FoundVisit]) -> dict[str, tuple[int, int]]:
    shares = {
        f"{low}-{high}": _share([visit for visit in visits if low <= visit.height_px < high])
        for low, high in pairwise(HEIGHTS)
    }
    return {name: share for name, share in shares.items() if share[1]}


def _share(visits: Sequence[FoundVisit]) -> tuple[int, int]:
    """Found, and all."""
    return sum(visit.found_after_s is not None for visit in visits), len(visits)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitTarget:
    """One target of a config; `met` None: too little was measured to say."""

    quantity: str
    wanted: str
    measured: str
    met: bool | None


def target_rows(row: dict[str, Any]) -> list[VisitTarget]:
    """Every target with what a summary's figures say of it."""
    shares = [
        _share_target(row, view, heights, least)
        for view, targets in TARGETS.items()
        for heights, least in targets.items()
    ]
    return [*shares, _delay_target(row), _false_target(row)]


def missed_targets(row: dict[str, Any]) -> list[str]:
    """A line for each target that a summary's figures miss."""
    return [f"{one.quantity}: {one.measured}, wanted {one.wanted}" for one in target_rows(row) if one.met is False]


def _share_target(row: dict[str, Any], view: str, heights: str, least: float) -> VisitTarget:
    low, _, high = heights.partition("-")
    shares = [
        share for name, share in row[view].items() if int(low) <= int(name.split("-")[0]) < int(high or HEIGHTS[-1])
    ]
    found, there = (sum(share[k] for share in shares) for k in (0, 1))
    return VisitTarget(
        quantity=f"visits found, {VIEWS[view]}, people of {heights if high else f'{low} or more'} px",
        wanted=f"{least:.0%}",
        measured=f"{found} of {there} ({found / there:.0%})" if there else "nobody of this height",
        met=_met(found, there, least),
    )


def _met(found: int, there: int, least: float) -> bool | None:
    """None for so few visits that a share just below `least` would show as all of them found."""
    if found < least * there:
        return False
    return True if there * (1.0 - least) >= 1.0 - 1e-9 else None


def _delay_target(row: dict[str, Any]) -> VisitTarget:
    delay = row["median_s"]
    return VisitTarget(
        quantity="median time from entering to the confirmation, crops included",
        wanted=f"{_DELAY_S:.1f} s",
        measured="-" if delay is None else f"{delay:.1f} s",
        met=None if delay is None else delay <= _DELAY_S,
    )


def _false_target(row: dict[str, Any]) -> VisitTarget:
    """Without false visits this takes ten hours to say for certain; a single one in less than that misses it."""
    count, hours = row["false_visits"], row["false_hours"]
    return VisitTarget(
        quantity="false visits where everybody is marked",
        wanted=f"{_FALSE_AN_HOUR:g} an hour",
        measured=f"{count} in {hours * 60:.0f} min",
        met=False if count > _FALSE_AN_HOUR * hours else (True if hours * _FALSE_AN_HOUR >= 1.0 else None),
    )


def print_report(results: Sequence[SceneResult]) -> None:
    rows = summarise(results)
    console = Console(width=180)
    for kind in ("clear", "poor", "by_condition"):
        _print_shares(console, rows, kind)
    for row in rows:
        names = list(dict.fromkeys(name for heights in row["by_condition_and_height"].values() for name in heights))
        table = Table("condition", *names, title=f"{row['config']}, {row['part']}: by condition and height px")
        for condition, heights in row["by_condition_and_height"].items():
            table.add_row(condition, *(_cell(heights.get(name)) for name in names))
        console.print(table)
    columns = ("visits", "median s", "split", "merged", "false", "in hours", "whole runs", "crops", "model s", "CPU s")
    table = Table("config", "part", *columns, "media s")
    for row in rows:
        keys = ("median_s", "split", "merged", "false_visits", "false_hours", "whole_runs", "window_runs")
        counts = (str(row[key]) for key in (*keys, "model_s", "cpu_s", "media_s"))
        table.add_row(row["config"], row["part"], "{}/{}".format(*row["all"]), *counts)
    console.print(table)
    for row in rows:
        for line in missed_targets(row):
            console.print(f"missed by {row['config']} in {row['part']}: {line}")


def _print_shares(console: Console, rows: Sequence[dict[str, Any]], kind: str) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row[kind]))
    table = Table("config", "part", *names, title=f"visits found, {kind.replace('_', ' ')}")
    for row in rows:
        table.add_row(row["config"], row["part"], *(_cell(row[kind].get(name)) for name in names))
    console.print(table)


def _cell(share: tuple[int, int] | None) -> str:
    return "" if share is None else f"{share[0]}/{share[1]}"
