"""The targets of speed, each with what was measured; and for each missed one what it is made of and what must change.

Everything is computed from the sections' stored figures. The floor of an alert is decoding, the bare model and one
hop over MQTT; what is above it is the service's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from .lineup import BF16, DEFAULT, FP32, INT8, PLAIN, TUNED
from .section import Figures

Verdict = Literal["met", "missed", "not measured"]
Sections = Mapping[str, Figures]
STAGES = {
    "capture_to_confirm": "picture in hand to confirmed",
    "confirm_to_publish": "synced to the disk, JPEG made",
    "network": "network, before and behind",
}
"""Of an alert's way, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    """One row; `why` explains a miss, or says how it is measured."""

    quantity: str
    target: str
    measured: str
    verdict: Verdict
    why: str = ""


def shown(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def targets(sections: Sections) -> list[TargetRow]:
    """All rows, in the order of the issue's table; `sections` maps a name to its figures."""
    return [
        _overhead(sections),
        _p50(sections, FP32, 0.65),
        _p50(sections, INT8, 0.48),
        _p50(sections, BF16, 0.42),
        *(_p99(sections, name, 1.2) for name in (FP32, INT8, BF16)),
        _against_plain(sections),
        _cpu(sections, FP32, 0.65),
        _cpu(sections, DEFAULT, 0.40),
        _cpu(sections, TUNED, 0.40),
        _simple(sections, "still", "still scene, gated, CPU per frame", 0.12, " B", lambda f: f["over_b"], _still_why),
        _simple(sections, "mqtt", "MQTT p99 over loopback", 1.0, " ms", lambda f: max(_p99s(f)), _mqtt_why),
        _stall(sections),
        _accuracy(sections),
        _start_up(sections),
        _memory(sections),
        _simple(sections, "cameras", "cameras differ by", 0.1, "", lambda f: f["spread"], lambda _f: ""),
    ]


def table(stored: Mapping[str, Figures]) -> list[str]:
    """The targets in Markdown, from what a store holds; nothing where the way from glass to alert was not measured."""
    if "glass" not in stored:
        return []
    rows = targets({name: one["figures"] for name, one in stored.items()})
    lines = ["## Targets of speed", "", "| quantity | target | measured | |", "|---|---|---|---|"]
    lines += [f"| {row.quantity} | {row.target} | {row.measured} | {row.verdict} |" for row in rows]
    missed = [f"- {row.quantity}: {row.why}." for row in rows if row.verdict == "missed" and row.why]
    return (
        [*lines, "", "Breakdown of the missed ones, computed from the sections below:", "", *missed]
        if missed
        else lines
    )


def _row(quantity: str, value: float | None, bound: float, unit: str, *, command: str, why: str = "") -> TargetRow:
    target = f"<= {bound:g}{unit}"
    if value is None:
        return TargetRow(
            quantity=quantity, target=target, measured="-", verdict="not measured", why=f"measure: {command}"
        )
    met = value <= bound
    return TargetRow(
        quantity=quantity,
        target=target,
        measured=f"{value:.3g}{unit}",
        verdict="met" if met else "missed",
        why="" if met else why,
    )


def _simple(
    sections: Sections,
    section: str,
    quantity: str,
    bound: float,
    unit: str,
    value: Callable[[Figures], float],
    why: Callable[[Figures], str],
) -> TargetRow:
    found, command = sections.get(section), f"python -m bench.{section}"
    if found is None:
        return _row(quantity, None, bound, unit, command=command)
    return _row(quantity, value(found), bound, unit, command=command, why=why(found))


def _rate(sections: Sections) -> Figures | None:
    rates = sections.get("glass", {}).get("rates", [])
    return rates[0] if rates else None


def _subject(sections: Sections, name: str) -> Figures | None:
    rate = _rate(sections)
    found: Figures | None = rate["subjects"].get(name) if rate else None
    return found


def _of(sections: Sections, name: str, key: str) -> float | None:
    one = _subject(sections, name)
    return None if one is None else one[key]


def _overhead(sections: Sections) -> TargetRow:
    found = sections.get("overhead", {})
    name, one = max(found.items(), key=lambda item: float(item[1]["ratio"]), default=("", None))
    stages = one["stages_ms"] if one else {}
    why = (
        f"{name}: {stages['preprocess']:.2f} ms before the model and {stages['decode_outputs']:.2f} ms after it, with "
        f"{stages['bare_model']:.1f} ms for the bare model: together they must be at most {0.03 * stages['bare_model']:.2f} ms"
        if one
        else ""
    )
    quantity = f"frame to detections over its own bare run{f', the worst: {name}' if name else ''}"
    return _row(quantity, one["ratio"] if one else None, 1.03, "", command="python -m bench.overhead", why=why)


def _p50(sections: Sections, name: str, bound: float) -> TargetRow:
    why = _glass_why(sections, name, bound, "p50")
    value = _of(sections, name, "p50_over_b")
    return _row(f"glass to subscriber p50, {name}", value, bound, " B", command="python -m bench.glass", why=why)


def _p99(sections: Sections, name: str, bound: float) -> TargetRow:
    why = _glass_why(sections, name, bound, "p99")
    value = _of(sections, name, "p99_over_b")
    return _row(f"glass to subscriber p99, {name}", value, bound, " B", command="python -m bench.glass", why=why)


def _glass_why(sections: Sections, name: str, bound: float, quantile: str) -> str:
    """The profile, the floor, and the largest part that can be cut."""
    rate, one = _rate(sections), _subject(sections, name)
    if rate is None or one is None or not one["stages_ms"]:
        return ""
    unit, floor = rate["b"]["run_ms"], _floor(sections, rate, name, quantile)
    spent = {stage: values[quantile] for stage, values in one["stages_ms"].items()}
    total, lowest = one[f"{quantile}_ms"], sum(floor.values())
    profile = ", ".join(f"{STAGES[stage]} {ms:.1f}" for stage, ms in spent.items())
    text = f"profile in ms: {profile}; floor {lowest:.1f} ms = {lowest / unit:.2f} B ({_floor_words(floor)})"
    if lowest > bound * unit:
        left_ms = max(0.0, bound * unit - lowest + floor["model"])
        return f"{text}: the floor itself is above the target, the model must run in {left_ms:.1f} ms"
    own = {stage: ms - _floor_of(stage, floor) for stage, ms in spent.items()}
    largest = max(own, key=lambda stage: own[stage])
    over = total - bound * unit
    return f"{text}; {over:.1f} ms too much, most above its floor: {STAGES[largest]}, by {own[largest]:.1f} ms"


def _floor(sections: Sections, rate: Figures, name: str, quantile: str) -> dict[str, float]:
    """At the camera's pace where that was measured; among a hundred pictures there are key frames, dear to decode."""
    hops = [float(one["p50"]) for one in _hops(sections.get("mqtt", {})).values()]
    decode, model = _paced(rate["decode"]), _paced(rate["floors"][name])
    dear = decode.get("p99_ms", decode["run_ms"]) if quantile == "p99" else decode["run_ms"]
    return {"decoding": dear, "model": model["run_ms"], "hop": min(hops, default=0.0)}


def _paced(figures: Figures) -> Figures:
    found: Figures = figures.get("paced", figures)
    return found


def _floor_words(floor: Mapping[str, float]) -> str:
    words = {"decoding": "decoding", "model": "bare model", "hop": "one MQTT hop"}
    return ", ".join(f"{words[part]} {ms:.1f}" for part, ms in floor.items())


def _floor_of(stage: str, floor: Mapping[str, float]) -> float:
    return {"capture_to_confirm": floor["decoding"] + floor["model"], "network": floor["hop"]}.get(stage, 0.0)


def _against_plain(sections: Sections) -> TargetRow:
    ours, theirs = _of(sections, FP32, "p50_ms"), _of(sections, PLAIN, "p50_ms")
    times = theirs / ours if ours and theirs else None
    row = _row("against the plain cv2 loop, p50", None, 4.0, "", command="python -m bench.glass")
    if times is None:
        return TargetRow(
            quantity=row.quantity, target=">= 4 times sooner", measured="-", verdict=row.verdict, why=row.why
        )
    return TargetRow(
        quantity=row.quantity,
        target=">= 4 times sooner",
        measured=f"{times:.3g} times",
        verdict="met" if times >= 4.0 else "missed",
        why="" if times >= 4.0 else f"the plain loop took {theirs:.1f} ms, ours {ours:.1f}",
    )


def _cpu(sections: Sections, name: str, bound: float) -> TargetRow:
    rate, one = _rate(sections), _subject(sections, name)
    why = ""
    if rate is not None and one is not None and one["cpu_ms_per_frame"] is not None:
        paced = {"decoding": _paced(rate["decode"]), "model": _paced(rate["floors"][name])}
        floor = {
            part: float(found["mean_cpu_ms" if "mean_cpu_ms" in found else "cpu_ms"]) for part, found in paced.items()
        }
        rest = one["cpu_ms_per_frame"] - sum(floor.values())
        why = (
            f"{one['cpu_ms_per_frame']:.1f} ms: {_floor_words(floor)} (their floor: "
            f"{sum(floor.values()) / rate['b']['cpu_ms']:.2f} B), all else {rest:.1f}, an alert a second included"
        )
    value = _of(sections, name, "cpu_over_b")
    quantity = f"CPU per frame, every frame detected, 10 fps, {name}"
    return _row(quantity, value, bound, " B", command="python -m bench.glass", why=why)


def _still_why(figures: Figures) -> str:
    return (
        f"{figures['cpu_ms_per_frame']:.2f} ms, of which decoding and the gate {figures['floor_ms']:.2f} "
        f"({figures['floor_over_b']:.3f} B in a row{_paced_words(figures)}); {figures['looked_at']} of {figures['frames']} frames went to the model"
    )


def _paced_words(figures: Figures) -> str:
    paced = figures.get("paced_floor_over_b")
    return "" if paced is None else f", {paced:.3f} B at the camera's rate, with sleep between pictures"


def _p99s(figures: Figures) -> list[float]:
    return [float(one["p99"]) for one in _hops(figures).values()]


def _hops(figures: Figures) -> Figures:
    """Those through a broker; beside them lies the floor of plain TCP."""
    return {name: one for name, one in figures.items() if name != "tcp"}


def _mqtt_why(figures: Figures) -> str:
    parts = [
        f"{name}: p50 {one['p50']:.2f}, quietest round's p99 {one['p99_quietest_round']:.2f}"
        for name, one in _hops(figures).items()
    ]
    return "; ".join(parts) + " ms: a round disturbed by other work on the machine counts here"


def _stall(sections: Sections) -> TargetRow:
    found = sections.get("stall")
    quantity, command = "after a 10 s stall, the newest frame waits", "python -m bench.stall"
    if found is None:
        return _row(quantity, None, 1.0, " model runs", command=command)
    why = (
        f"{found['recovered_ms']:.0f} ms in whole, of which decoding {found['backlog']} pictures {found['decode_ms']:.0f}, "
        f"the model {found['run_ms']:.0f}: the rest is the backlog read from the socket, cold caches, or a core waited for"
    )
    return _row(quantity, found["waited_ms"] / found["run_ms"], 1.0, " model runs", command=command, why=why)


def _accuracy(sections: Sections) -> TargetRow:
    """By bench.auto: points of AP lost on each set of pictures, the worst model's."""
    quantity, target = "person AP lost by the auto choice", "<= 0.5 points on COCO-64, none on vtest"
    rows = sections.get("auto", {}).get("rows")
    if not rows:
        command = "measure: python -m bench.auto"
        return TargetRow(quantity=quantity, target=target, measured="-", verdict="not measured", why=command)
    coco, vtest = (max(float(row["lost"]) for row in rows if row["pictures"] == name) for name in ("coco", "vtest"))
    met = coco <= 0.5 and vtest <= 0.0
    why = "; ".join(f"{row['model']} on {row['pictures']}: {row['taken']}, {row['lost']:.2f}" for row in rows)
    return TargetRow(
        quantity=quantity,
        target=target,
        measured=f"{coco:.2f} and {vtest:.2f} points",
        verdict="met" if met else "missed",
        why="" if met else why,
    )


def _start_up(sections: Sections) -> TargetRow:
    one = _subject(sections, FP32)
    why = f"{one['startup_s']:.2f} s in whole" if one else ""
    value = None if one is None else one["startup_beyond_model_s"]
    quantity = "start to first detection, beyond loading the model"
    return _row(quantity, value, 1.5, " s", command="python -m bench.glass", why=why)


def _memory(sections: Sections) -> TargetRow:
    one = _subject(sections, FP32)
    why = f"at its peak {one['peak_mib']:.0f} MiB" if one else ""
    quantity = "RSS with one 1080p camera, ONNX Runtime"
    value = None if one is None else one["rss_mib"]
    return _row(quantity, value, 350.0, " MiB", command="python -m bench.glass", why=why)
