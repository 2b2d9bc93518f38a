"""The newest picture after a stall."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("stall", "--shared", shared)


def render(one: Figures) -> list[str]:
    return [
        f"The service was stopped for {one['stall_s']:g} s while its camera went on. The newest picture was seen",
        f"{one['recovered_ms']:.0f} ms after the end of it: {one['decode_ms']:.0f} ms to decode the {one['backlog']} pictures since",
        f"its key frame, {one['run_ms']:.0f} its own model run, and {one['waited_ms']:.0f}",
        "of waiting (target: at most one run).",
    ]


SECTION = ResultSection(name="stall", order=55, title="After a stall", measure=measure, render=render)
