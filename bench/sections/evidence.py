"""What the default model's scores tell, by height and light."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("evidence", "--shared", shared)


def render(figures: Figures) -> list[str]:
    tracks = figures["tracks"]
    decided = "; ".join(
        f"{rule} {tracks[key]['people']} of {tracks['all']['people']} people, {tracks[key]['nobody']} of "
        f"{tracks['all']['nobody']} that are nobody"
        for rule, key in (("three frames of 0.5", "frames"), (f"the evidence, bar {figures['bar']:.2f}", "evidence"))
    )
    return [
        f"Scores of {figures['model']} in {figures['scenes']} scenes to choose by (`python -m bench.evidence`): share of looks at",
        "tracks in their first three seconds that were at people, with their number, by the box's height in px of the model's",
        "input. `alert.confirm: evidence` decides by them.",
        "",
        *_table(figures),
        "",
        f"The same tracks decided by each rule: {decided}.",
    ]


def _table(figures: Figures) -> list[str]:
    edges = [*figures["scores"][1:], 1.0]
    names = ["not found", *(f"{low:g}-{high:g}" for low, high in pairwise(edges))]
    lines = [f"| light, height px | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for light in ("bright", "dark"):
        for low, high, row in zip(figures["heights"], [*figures["heights"][1:], None], figures[light], strict=True):
            height = f"{low:g}-{high:g}" if high else f"{low:g} or more"
            lines.append(f"| {light}, {height} | {' | '.join(_share(*cell) for cell in row)} |")
    return lines


def _share(people: int, nobody: int) -> str:
    there = people + nobody
    return f"{people / there:.2f} ({there})" if there else ""


SECTION = ResultSection(name="evidence", order=85, title="Scores and evidence", measure=measure, render=render)
