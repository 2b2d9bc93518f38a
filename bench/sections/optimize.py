"""What `detector optimize` makes of the two models, against PyTorch eager."""

from __future__ import annotations

from pathlib import Path

from bench.optimize import section
from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("optimize", "--shared", shared)


def render(figures: Figures) -> list[str]:
    return section(figures["studies"])


SECTION = ResultSection(
    name="optimize", order=27, title="Optimised models", measure=measure, render=render, packages=("onnx", "torch")
)
