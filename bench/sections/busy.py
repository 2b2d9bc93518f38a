"""A still scene beside a busy one of the same camera."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("cpu", "--shared", shared)


def render(cpu: Figures) -> list[str]:
    return [
        f"CPU of the whole service on one core, vtest.avi (768x576): busy scene {cpu['busy_percent']} %, still scene",
        f"{cpu['still_percent']} %; still over busy {cpu['still_over_busy']} (target: at most 0.2). By `python -m bench.cpu`.",
    ]


SECTION = ResultSection(name="busy", order=75, title="A still scene beside a busy one", measure=measure, render=render)
