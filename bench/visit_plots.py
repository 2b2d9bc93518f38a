"""The curves of bench.visits as one SVG: share of visits found against people's height, and against what it costs.

Written by hand, not by a plotting package: three small panels, the same bytes for the same figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_COLOURS = ("#0f766e", "#b4532a", "#3b6fb5", "#7a5195", "#66727f")
_WIDTH, _HEIGHT, _PANEL, _TOP, _PLOT = 900, 300, 300, 40, 180
_INK, _MUTED, _GRID = "#1c2733", "#66727f", "#dfe3e8"
_SMALL = 36  # px: people below this are what crops and larger inputs are for
Point = tuple[float, float]
Row = Mapping[str, Any]


def curves(rows: Sequence[Row]) -> str:
    """An SVG of `bench.visits`' summaries, one line a config; a height without visits has no point."""
    heights = _heights(rows)
    panels = [
        _panel(0, "by day, any lens and place", heights, [_by_height(row["clear"], heights) for row in rows]),
        _panel(1, "dusk, infrared, blurred, compressed", heights, [_by_height(row["poor"], heights) for row in rows]),
        _cost_panel(2, rows),
    ]
    keys = "".join(
        f'<circle cx="{46 + 200 * k}" cy="286" r="4" fill="{_colour(k)}"/>'
        f'<text x="{56 + 200 * k}" y="290">{escape(str(row["config"]))}</text>'
        for k, row in enumerate(rows)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">'
        f"<title>Share of visits found, by height and by cost</title>"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>{"".join(panels)}{keys}</svg>\n'
    )


def _heights(rows: Sequence[Row]) -> list[str]:
    names = {name for row in rows for view in ("clear", "poor") for name in row[view]}
    return sorted(names, key=lambda name: int(name.split("-")[0]))


def _by_height(shares: Mapping[str, Sequence[int]], heights: Sequence[str]) -> list[Point]:
    return [
        ((k + 0.5) / len(heights), shares[name][0] / shares[name][1])
        for k, name in enumerate(heights)
        if name in shares and shares[name][1]
    ]


def _panel(number: int, title: str, heights: Sequence[str], lines: Sequence[Sequence[Point]]) -> str:
    labels = [((k + 0.5) / max(1, len(heights)), name) for k, name in enumerate(heights)]
    drawn = [_line(number, points, _colour(k)) for k, points in enumerate(lines)]
    return _frame(number, title, labels, "height in px") + "".join(drawn)


def _cost_panel(number: int, rows: Sequence[Row]) -> str:
    costs = [(row["model_s"] + row["cpu_s"]) / max(row["media_s"], 1e-9) for row in rows]
    most = max([*costs, 1e-9]) * 1.15
    drawn = []
    for k, (row, cost) in enumerate(zip(rows, costs, strict=True)):
        shares = [share for name, share in row["by_height"].items() if int(name.split("-")[0]) < _SMALL]
        found, there = (sum(share[one] for share in shares) for one in (0, 1))
        if there:
            drawn.append(_dot(number, (cost / most, found / there), _colour(k)))
    labels = [(part, f"{part * most:.2f}") for part in (0.0, 0.5, 1.0)]
    return _frame(number, f"people below {_SMALL} px", labels, "seconds of work a second of film") + "".join(drawn)


def _frame(number: int, title: str, labels: Sequence[tuple[float, str]], axis: str) -> str:
    parts = [f'<text x="{_x(number, 0.0)}" y="24" font-weight="bold">{escape(title)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share)
        parts.append(f'<path d="M{_x(number, 0.0)} {y}H{_x(number, 1.0)}" stroke="{_GRID}"/>')
        parts.append(
            f'<text x="{_x(number, 0.0) - 6}" y="{y + 4}" text-anchor="end" fill="{_MUTED}">{share:.0%}</text>'
        )
    for at, name in labels:
        place = f'x="{_x(number, at)}" y="{_TOP + _PLOT + 16}"'
        parts.append(f'<text {place} text-anchor="middle" fill="{_MUTED}" font-size="10">{escape(name)}</text>')
    middle = f'x="{_x(number, 0.5)}" y="{_TOP + _PLOT + 34}"'
    parts.append(f'<text {middle} text-anchor="middle" fill="{_MUTED}">{escape(axis)}</text>')
    return "".join(parts)


def _line(number: int, points: Sequence[Point], colour: str) -> str:
    if not points:
        return ""
    path = " ".join(f"{_x(number, x)},{_y(y)}" for x, y in points)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    return line + "".join(_dot(number, point, colour) for point in points)


def _dot(number: int, point: Point, colour: str) -> str:
    return f'<circle cx="{_x(number, point[0])}" cy="{_y(point[1])}" r="4" fill="{colour}"/>'


def _x(number: int, share: float) -> float:
    return round(number * _PANEL + 46 + share * (_PANEL - 66), 1)


def _y(share: float) -> float:
    return round(_TOP + (1.0 - share) * _PLOT, 1)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
