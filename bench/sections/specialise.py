"""What a specialist for one camera costs and sees."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("specialise", "--shared", shared)


def render(figures: Figures) -> list[str]:
    return [
        f"`detector specialise`, {figures['steps']} steps, taught without annotations on the first half of each clip and judged on the",
        "second, on visits that it was not taught on, against what the teachers agree on. B is a bare run of YOLOv10n at",
        "640x640 (ONNX Runtime fp32, one thread). The loss is the 90 % bound of AP50 against the general model.",
        "",
        "| clip | model | x B | AP50 | persons found | visits | false visits | AP50 lost at most | offered |",
        "|---|---|---|---|---|---|---|---|---|",
        *(line for name, run in figures["runs"].items() for line in _rows(name, run)),
        "",
        *(line for name, run in figures["runs"].items() for line in _words(name, run)),
    ]


def _rows(name: str, run: Figures) -> list[str]:
    rows = []
    for size, lights in run["tried"].items():
        for light, one in lights.items():
            pairs = ((f"general, by {light}", "general"), (f"student {size}, by {light}", size))
            for title, key in pairs:
                each = one["general" if key == "general" else "student"]
                lost = "" if key == "general" or not one["bounds"] else f"{one['bounds']['ap50']:.3f}"
                offered = "" if key == "general" else "yes" if one["accepted"] else "no"
                rows.append(
                    f"| {name} | {title} | {run['b'][key]:.3f} | {each['ap50']:.3f} | {each['found']:.3f} "
                    f"| {each['visits']} of {one['visits']} | {each['false_visits']} | {lost} | {offered} |"
                )
    return rows


def _words(name: str, run: Figures) -> list[str]:
    lines = [f"{name}, {size} by {light}: refused: {'; '.join(one['reasons'])}." for size, lights in run["tried"].items() for light, one in lights.items() if one["reasons"]]  # fmt: skip
    if marked := run.get("marked"):
        figures = ", ".join(f"{key} {value:.3f}" for key, value in marked.items())
        lines.append(f"{name}: AP50 by hand-made marks, second half: {figures}.")
    if other := run.get("elsewhere"):
        lines.append(
            f"{name}: in the other clip, which it does not know, it misses {other['missed']} of {other['persons']} persons "
            f"of the general model's in {other['images']} pictures, and has {other['extra']} boxes more."
        )
    return [part for line in lines for part in (line, "")][:-1]


SECTION = ResultSection(
    name="specialise", order=31, title="Specialists", measure=measure, render=render, packages=("torch",)
)
