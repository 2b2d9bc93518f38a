"""What live views cost the detection."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("viewers", "--shared", shared)


def render(one: Figures) -> list[str]:
    return [
        f"{one['viewers']} viewers of live streams on {one['cameras']} cameras cost {one['lost']:.1%} of the frames looked at:",
        f"{one['alone_per_s']:.2f}/s without them, {one['watched_per_s']:.2f}/s with them, of {one['wanted_per_s']} wanted",
        f"(target: less than 2 %). Each viewer was sent {one['pictures_per_s']:.1f} pictures/s.",
    ]


SECTION = ResultSection(name="viewers", order=58, title="Live views", measure=measure, render=render)
