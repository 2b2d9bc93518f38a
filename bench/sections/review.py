"""How soon the review page's requests are answered over a long history."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("review", "--shared", shared)


def render(one: Figures) -> list[str]:
    rows = [f"| {words} | {ms['visits']} | {ms['p50']:.1f} | {ms['p99']:.1f} |" for words, ms in one["asked"].items()]
    return [
        f"A history of {one['events']} visits with their paths ({one['mib']:.0f} MiB), asked over HTTP while a camera is at",
        f"work; times until the whole answer is there (target: the first page within {one['target_ms']:.0f} ms).",
        "",
        "| asked | visits | p50, ms | p99, ms |",
        "|---|---:|---:|---:|",
        *rows,
    ]


SECTION = ResultSection(name="review", order=59, title="Review of a long history", measure=measure, render=render)
