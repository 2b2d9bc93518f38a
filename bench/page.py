"""The glass bench's report: one HTML page, its plots drawn as SVG by hand, no script and no second file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

_COLOURS = ("#1b7f5c", "#2f6db5", "#c2571a", "#8d3b9e", "#7a6a1e", "#444444")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 300, 60, 40
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)
_INTRODUCTION = (
    "<p>1080p H.264, released in real time over loopback RTSP; time from the release of a picture's packets to the "
    "message about it at a subscriber. B is the bare ONNX Runtime fp32 640x640 run of YOLOv10n in one thread, "
    "measured in the same run.</p>"
)
_COLUMNS = (
    ("p50_ms", "p50 ms", 1), ("p50_over_b", "p50 / B", 2), ("p99_ms", "p99 ms", 1), ("p99_over_b", "p99 / B", 2),
    ("done", "frames done", 0), ("released", "of", 0), ("cpu_ms_per_frame", "CPU ms a frame", 1),
    ("cpu_over_b", "CPU / B", 2), ("startup_s", "start s", 2), ("rss_mib", "RSS MiB", 0), ("peak_mib", "peak MiB", 0),
    ("messages", "messages", 0),
)  # fmt: skip


def page(document: dict[str, Any]) -> str:
    """The whole page for what bench.glass measured."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>From glass to alert</title>",
        f"<style>{_STYLE}</style><h1>From glass to alert</h1>",
        _INTRODUCTION,
        f"<p>Load average at the end: {document['load_average']:.1f}.</p>",
    ]
    for rate in document["rates"]:
        series = {name: one["latencies_ms"] for name, one in rate["subjects"].items() if one["latencies_ms"]}
        parts += [
            f"<h2>{rate['fps']} frames a second; B = {rate['b']['run_ms']:.1f} ms</h2>",
            _table(rate["subjects"]),
            distribution(series, unit=rate["b"]["run_ms"]),
        ]
    parts += [f"<p>{escape(name)}: left out, {escape(why)}.</p>" for name, why in document["left_out"].items()]
    return "\n".join([*parts, "</html>", ""])


def _table(subjects: dict[str, dict[str, Any]]) -> str:
    head = "".join(f"<th>{title}" for _, title, _ in _COLUMNS)
    rows = "".join(
        f"<tr><td>{escape(name)}" + "".join(f"<td>{one[key]:.{digits}f}" for key, _, digits in _COLUMNS)
        for name, one in subjects.items()
    )
    return f"<table><tr><th>{head}{rows}</table>"


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
