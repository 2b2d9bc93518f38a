"""Many cameras on one worker."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("cameras", "--shared", shared, "--seconds", "35")


def render(figures: Figures) -> list[str]:
    looked_at = list(figures["looked_at"].values())
    problems = "; ".join(figures["problems"]) or "all is well"
    return [
        f"{len(looked_at)} cameras of 1080p over loopback RTSP, every frame wanted; in {figures['seconds']} s each was",
        f"looked at {min(looked_at)} to {max(looked_at)} times: they differ by {figures['spread']:.1%} (target: at most 10 %).",
        f"{figures['per_s']:.1f} frames a second in whole, CPU {figures['cpu_percent']:.0f} % of a core,",
        f"{figures['rss_mib']} MiB. The status says: {problems}.",
    ]


SECTION = ResultSection(name="cameras", order=60, title="Many cameras", measure=measure, render=render)
