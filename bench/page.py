"""The bench's report: one HTML page, its plots drawn as SVG by hand, no script and no second file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from .section import Figures, ResultSection
from .store import signature
from .targets import STAGES, TargetRow

_COLOURS = ("#1b7f5c", "#2f6db5", "#c2571a", "#8d3b9e", "#7a6a1e", "#444444", "#b0303a", "#3a8fa0")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 300, 60, 40
_BAR, _NAMES = 26, 210  # px
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child,td.why{text-align:left}svg{max-width:100%;height:auto}footer,.why{color:#666;font-size:13px}"
    ".met{color:#1b7f5c}.missed{color:#b0303a}.not{color:#7a6a1e}"
)


def page(stored: Mapping[str, Figures], sections: Iterable[ResultSection], rows: Sequence[TargetRow]) -> str:
    """The whole page: the targets, the plots of bench.glass, and what each section says of itself."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>From glass to alert</title>",
        f"<style>{_STYLE}</style><h1>Speed, from glass to alert</h1>",
        _targets(rows),
    ]
    for section in sections:
        if (one := stored.get(section.name)) is None:
            continue
        parts += [f"<h2>{escape(section.title)}</h2>", html(section.render(one["figures"]))]
        parts += [plot for rate in one["figures"].get("rates", ()) for plot in _plots(rate)]
        parts.append(f"<footer>{escape(signature(one['environment']))}</footer>")
    return "\n".join([*parts, "</html>", ""])


def _targets(rows: Sequence[TargetRow]) -> str:
    body = "".join(
        f"<tr><td>{escape(row.quantity)}<td>{escape(row.target)}<td>{escape(row.measured)}"
        f'<td class="{row.verdict.split()[0]}">{row.verdict}<td class=why>{escape(row.why)}'
        for row in rows
    )
    return f"<table><tr><th>quantity<th>target<th>measured<th><th>{body}</table>"


def _plots(rate: Figures) -> list[str]:
    series = {name: one["latencies_ms"] for name, one in rate["subjects"].items() if one["latencies_ms"]}
    staged = {name: one["stages_ms"] for name, one in rate["subjects"].items() if one["stages_ms"]}
    spent = {name: {stage: ms["p50"] for stage, ms in stages.items()} for name, stages in staged.items()}
    return [distribution(series, unit=rate["b"]["run_ms"]), bars(spent, unit=rate["b"]["run_ms"])]


def html(lines: Iterable[str]) -> str:
    """The few forms of Markdown that sections use: paragraphs, and tables with a ruler."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip())
    return "".join(
        _table(block.splitlines()) if block.startswith("|") else f"<p>{escape(block)}</p>" for block in blocks
    )


def _table(rows: Sequence[str]) -> str:
    cells = [[escape(cell.strip()) for cell in row.strip().strip("|").split("|")] for row in rows]
    head, body = "<th>".join(cells[0]), "".join(f"<tr><td>{'<td>'.join(row)}" for row in cells[2:])
    return f"<table><tr><th>{head}{body}</table>"


def bars(spent: Mapping[str, Mapping[str, float]], *, unit: float) -> str:
    """Per subject the median ms of each stage, one behind the other; B is a dashed line."""
    if not spent:
        return ""
    longest = max(unit, *(sum(stages.values()) for stages in spent.values()))
    scale = (_WIDTH - _NAMES - 60) / longest
    height = _BAR * (len(spent) + len(STAGES)) + 20
    drawn = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" font-size="13" font-family="sans-serif">']
    for index, (name, stages) in enumerate(spent.items()):
        left, top = float(_NAMES), _BAR * index
        drawn.append(f'<text x="{_NAMES - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>')
        for colour, stage in zip(_COLOURS, STAGES, strict=False):
            wide = max(0.0, stages.get(stage, 0.0)) * scale
            drawn.append(f'<rect x="{left:.1f}" y="{top + 3}" width="{wide:.1f}" height="{_BAR - 8}" fill="{colour}"/>')
            left += wide
        drawn.append(f'<text x="{left + 6:.1f}" y="{top + 16}">{sum(stages.values()):.1f} ms</text>')
    at, low = _NAMES + unit * scale, _BAR * len(spent)
    drawn.append(f'<path d="M{at:.1f} 0V{low}" stroke="#222" stroke-dasharray="5 4"/>')
    drawn.append(f'<text x="{at - 4:.1f}" y="{low + 12}" text-anchor="end">B</text>')
    for index, (colour, words) in enumerate(zip(_COLOURS, STAGES.values(), strict=False)):
        row = low + 18 + _BAR * index
        drawn.append(f'<rect x="{_NAMES}" y="{row}" width="14" height="14" fill="{colour}"/>')
        drawn.append(f'<text x="{_NAMES + 22}" y="{row + 12}">{escape(words)}</text>')
    return "".join([*drawn, "</svg>"])


def distribution(series: dict[str, Sequence[float]], *, unit: float) -> str:
    """Share of messages (0..1) that came within so many ms; time is logarithmic, B a dashed line."""
    values = [value for one in series.values() for value in one]
    if not values:
        return ""
    low, high = math.log10(max(1.0, min(*values, unit) * 0.8)), math.log10(max(*values, unit) * 1.2)

    def x(ms: float) -> float:
        return _LEFT + (math.log10(max(ms, 1.0)) - low) / (high - low) * (_WIDTH - _LEFT - 10)

    def y(share: float) -> float:
        return 10 + (1 - share) * (_HEIGHT - _BOTTOM - 10)

    drawn = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 22 * len(series)}" role="img" font-size="13" font-family="sans-serif">'
    ]
    for share in (0.0, 0.5, 0.99):
        drawn.append(f'<path d="M{_LEFT} {y(share):.1f}H{_WIDTH - 10}" stroke="#ddd"/>')
        drawn.append(f'<text x="{_LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for tick in _ticks(10**low, 10**high):
        drawn.append(f'<path d="M{x(tick):.1f} 10V{y(0):.1f}" stroke="#eee"/>')
        drawn.append(f'<text x="{x(tick):.1f}" y="{y(0) + 18:.1f}" text-anchor="middle">{tick:g} ms</text>')
    drawn.append(f'<path d="M{x(unit):.1f} 10V{y(0):.1f}" stroke="#222" stroke-dasharray="5 4"/>')
    drawn.append(f'<text x="{x(unit) + 4:.1f}" y="22">B</text>')
    for index, (name, one) in enumerate(series.items()):
        colour, ordered = _COLOURS[index % len(_COLOURS)], sorted(one)
        points = [f"{x(ms):.1f},{y((i + 1) / len(ordered)):.1f}" for i, ms in enumerate(ordered)]
        drawn.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        row = _HEIGHT + 4 + 22 * index
        drawn.append(f'<rect x="{_LEFT}" y="{row}" width="14" height="14" fill="{colour}"/>')
        drawn.append(f'<text x="{_LEFT + 22}" y="{row + 12}">{escape(name)}</text>')
    return "".join([*drawn, "</svg>"])


def _ticks(low: float, high: float) -> list[float]:
    steps = [base * 10**power for power in range(5) for base in (1, 2, 5)]
    return [float(step) for step in steps if low <= step <= high]
