"""One hop over MQTT."""

from __future__ import annotations

from pathlib import Path

from bench.section import Figures, ResultSection, command


def measure(_shared: Path) -> Figures:
    return command("mqtt")


def render(figures: Figures) -> list[str]:
    rows = [
        "From the link's `publish` of 900 bytes at QoS 1 to a subscriber in another process, over loopback; milliseconds.",
        "`tcp` is the lower bound: the same bytes between two processes without a broker, in the same rounds.",
        "",
        "| broker | p50 | p99 | p99 of the quietest round | longest | p50 over the floor's |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {name} | {one['p50']:.2f} | {one['p99']:.2f} | {one['p99_quietest_round']:.2f} | {one['max']:.2f} | "
        f"{one['p50_over_floor']:.1f} |"
        for name, one in figures.items()
    ]
    return rows


SECTION = ResultSection(
    name="mqtt", order=50, title="One MQTT hop", measure=measure, render=render, packages=("paho-mqtt",)
)
