"""Many cameras with one inference loop."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("cameras", "--shared", shared, "--seconds", "35")


def render(figures: Figures) -> list[str]:
    looked_at = list(figures["looked_at"].values())
    problems = "; ".join(figures["problems"]) or "all is well"
    return [
        f"{len(looked_at)} cameras of 1080p over loopback RTSP, every frame due for detection; in {figures['seconds']} s",
        f"{min(looked_at)} to {max(looked_at)} frames of each were detected: a difference of {figures['spread']:.1%} (target: at",
        f"most 10 %). {figures['per_s']:.1f} frames per second in total, CPU {figures['cpu_percent']:.0f} % of a core,",
        f"{figures['rss_mib']} MiB. The status reports: {problems}.",
    ]


SECTION = ResultSection(name="cameras", order=60, title="Many cameras", measure=measure, render=render)
