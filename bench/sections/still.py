"""What a still scene costs."""

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
        f"A 1080p still scene with noise at {one['fps']} frames a second, default config: {one['cpu_ms_per_frame']:.2f} ms CPU a",
        f"frame, {one['over_b']:.3f} B (target: at most 0.12); decoding and the motion gate alone take {one['floor_ms']:.2f} ms,",
        f"{one['floor_over_b']:.3f} B{_paced(one)}. {one['looked_at']} of {one['frames']} frames went to the model.",
        *lines,
    ]


def _paced(one: Figures) -> str:
    """The floor at the camera's pace; a measurement of before does not have it."""
    if "paced_floor_ms" not in one:
        return ""
    return (
        f" in a row; asleep between two pictures, as the camera sends them, {one['paced_floor_ms']:.2f} ms, "
        f"{one['paced_floor_over_b']:.3f} B"
    )


SECTION = ResultSection(name="still", order=70, title="A still scene", measure=measure, render=render)
