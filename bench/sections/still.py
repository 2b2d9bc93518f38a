"""The CPU time of a still scene."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return {**command("still", "--shared", shared), "keyframes": command("still", "--shared", shared, "--keyframes")}


def render(one: Figures) -> list[str]:
    idle = one.get("keyframes")
    lines = (
        []
        if idle is None
        else ["", f"With `motion.idle_decode: keyframes`: {idle['over_b']:.3f} B, a key frame every 2 s."]
    )
    return [
        f"A 1080p still scene with noise at {one['fps']} frames per second, default config: {one['cpu_ms_per_frame']:.2f} ms CPU per",
        f"frame, {one['over_b']:.3f} B (target: at most 0.12). Decoding and the motion gate take {one['floor_ms']:.2f} ms of it,",
        f"{one['floor_over_b']:.3f} B{_paced(one)}. The model ran on {one['looked_at']} of {one['frames']} frames.",
        *lines,
    ]


def _paced(one: Figures) -> str:
    """The lower bound at the camera's rate; older measurements do not have it."""
    if "paced_floor_ms" not in one:
        return ""
    return (
        f" without sleep; with sleep between two pictures, at the camera's rate, {one['paced_floor_ms']:.2f} ms, "
        f"{one['paced_floor_over_b']:.3f} B"
    )


SECTION = ResultSection(name="still", order=70, title="A still scene", measure=measure, render=render)
