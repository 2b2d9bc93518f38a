"""The time to the newest picture after a stall."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("stall", "--shared", shared)


def render(one: Figures) -> list[str]:
    return [
        f"The service was stopped for {one['stall_s']:g} s while its camera continued. The newest picture was detected",
        f"{one['recovered_ms']:.0f} ms after it continued: {one['decode_ms']:.0f} ms to decode the {one['backlog']} pictures since",
        f"its key frame, {one['run_ms']:.0f} ms for its own model run, and {one['waited_ms']:.0f} ms",
        "of waiting (target: at most one run).",
    ]


SECTION = ResultSection(name="stall", order=55, title="After a stall", measure=measure, render=render)
