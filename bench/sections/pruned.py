"""What pruning costs, and what fine-tuning restores."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command

STEPS = 150
"""Short fine-tuning, so that the page can be made in minutes; more steps restore more."""


def measure(shared: Path) -> Figures:
    return {"steps": STEPS, **command("pruning", "--shared", shared, "--steps", str(STEPS))}


def render(figures: Figures) -> list[str]:
    return [
        f"`detector prune`, fine-tuned for {figures['steps']} steps on {figures['learned_from']} pictures without annotations:",
        "odd frames of vtest.avi, frames of the one-by-one clip, photographs. Evaluated in PyTorch on other pictures, COCO-64",
        "and even frames of vtest.avi, at 640x640; ms before and after were measured on this machine.",
        "",
        "| model | stage | GMACs | million parameters | AP | AP50 | vtest AP |",
        "|---|---|---|---|---|---|---|",
        *(line for run in figures["runs"] for line in _stages(run)),
        "",
        *(line for run in figures["runs"] for line in _sizes(run)),
    ]


def _stages(run: Figures) -> list[str]:
    clip = run["vtest_even_frames"]
    return [
        f"| {run['model']} to {run['macs_kept']:.1%} | {name} | {stage['macs'] / 1e9:.2f} | {stage['parameters'] / 1e6:.2f} "
        f"| {stage['ap']:.3f} | {stage['ap50']:.3f} | {_ap(clip.get(name))} |"
        for name, stage in run["stages"].items()
    ]


def _ap(found: Figures | None) -> str:
    return "" if found is None else f"{found['ap']:.3f}"


def _sizes(run: Figures) -> list[str]:
    times = ", ".join(
        f"{runtime} {pair['before']:.1f} to {pair['after']:.1f} ms" for runtime, pair in run["latency_ms"].items()
    )
    return [f"{run['output']}: {run['bytes_before'] / 1e6:.2f} to {run['bytes'] / 1e6:.2f} MB; {times}."]


SECTION = ResultSection(
    name="pruned", order=30, title="Pruned models", measure=measure, render=render, packages=("torch", "torch-pruning")
)
