"""What clips cost."""

from __future__ import annotations

from pathlib import Path

from bench.clips import TARGET
from bench.section import Figures, ResultSection, command


def measure(shared: Path) -> Figures:
    return command("clips", "--shared", shared)


def render(one: Figures) -> list[str]:
    return [
        f"Two services watch the same 1080p camera ({one['fps']} frames per second) at the same time, one with clips and one",
        f"without (target: CPU at most {TARGET} times). With people every frame goes to the model and clips are written all the",
        f"time; up to {one['ring_bytes'] >> 20} MiB of a camera's stream are held.",
        "",
        "| scene | CPU of a core, on | off | ratio | rounds | clips | held | RSS |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {of['on_percent']:.1f} % | {of['off_percent']:.1f} % | {of['ratio']:.3f} | "
            f"{', '.join(f'{ratio:.3f}' for ratio in of['ratios'])} | {of['written']} | "
            f"{of['held_bytes'] / 1e6:.1f} MB | {of['rss_mib']:+.1f} MiB |"
            for name, of in one["scenes"].items()
        ),
    ]


SECTION = ResultSection(name="clips", order=72, title="Clips", measure=measure, render=render)
