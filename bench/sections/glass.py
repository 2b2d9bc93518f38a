"""From the camera's picture to the alert at a subscriber, compared with plain loops."""

from __future__ import annotations

from pathlib import Path

from bench.lineup import TUNED
from bench.section import Figures, ResultSection, command
from bench.targets import shown
from detector.config.monitoring import SloSettings

GOAL_MS = SloSettings().alert_goal_ms  # the service's own default


def measure(shared: Path) -> Figures:
    return command("glass", "--shared", shared)


def render(document: Figures) -> list[str]:
    lines = [
        "1080p H.264 sent in real time over loopback RTSP: from writing the last byte of a picture's last packet to the socket",
        "until a subscriber has read the alert about it, including the synced write to disk and the JPEG. B is the bare ONNX",
        "Runtime fp32 640x640 run of YOLOv10n in one thread, measured between the subjects. Start-up is from the start of the",
        "process to the first detected frame, without loading the model. Within the goal: the share of messages that were read",
        f"within {GOAL_MS:.0f} ms, the default of slo.alert_goal_ms.",
    ]
    if any(TUNED in rate["subjects"] for rate in document["rates"]):
        lines += [
            'The default configuration had chosen its model variant before: from the clip itself; "tuned": by `detector tune`',
            "on the recording that the clip is made from.",
        ]
    for rate in document["rates"]:
        lines += ["", *_subjects(rate), "", *_stages(rate)]
    return lines + [f"\n{name}: left out, {reason}." for name, reason in document["left_out"].items()]


def _subjects(rate: Figures) -> list[str]:
    unit = rate["b"]
    rows = [
        f"{rate['fps']} frames per second; B = {unit['run_ms']:.1f} ms, {unit['cpu_ms']:.1f} ms CPU.",
        "",
        "| subject | p50 / B | p99 / B | p50 ms | p99 ms | within the goal | messages | done of released | CPU a frame / B | start-up s | RSS MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {name} | {shown(one['p50_over_b'])} | {shown(one['p99_over_b'])} | {shown(one['p50_ms'], 1)} "
        f"| {shown(one['p99_ms'], 1)} | {shown(_within_goal(one))} | {one['messages']} | {one['done']} of {one['released']} "
        f"| {shown(one['cpu_over_b'])} | {shown(one['startup_beyond_model_s'])} | {one['rss_mib']:.0f} |"
        for name, one in rate["subjects"].items()
    ]
    return rows


def _within_goal(subject: Figures) -> float | None:
    """The share of its messages that were read within GOAL_MS."""
    latencies = subject["latencies_ms"]
    return sum(ms <= GOAL_MS for ms in latencies) / len(latencies) if latencies else None


def _stages(rate: Figures) -> list[str]:
    rows = [
        f"Times of the stages, p50 / p99 in ms, and their lower bound (decoding {rate['decode']['run_ms']:.1f} ms):",
        "",
        "| subject | picture in hand to confirmed | every frame the same | confirmed to handed to MQTT | network | bare model |",
        "|---|---|---|---|---|---|",
    ]
    for name, bare in rate["floors"].items():
        one = rate["subjects"][name]
        stages = [one["stages_ms"].get(stage) for stage in ("capture_to_confirm", "confirm_to_publish", "network")]
        stages.insert(1, one["facts"].get("frame_ms"))
        cells = " | ".join(f"{shown(s and s['p50'], 1)} / {shown(s and s['p99'], 1)}" for s in stages)
        rows.append(f"| {name} | {cells} | {bare['run_ms']:.1f} ({bare['run_over_b']:.2f} B) |")
    return rows + _paced(rate)


def _paced(rate: Figures) -> list[str]:
    """The lower bounds with the camera's sleep between two pictures; older measurements do not have them."""
    decode = rate["decode"].get("paced")
    if decode is None:
        return []
    rows = [
        "",
        f"The same at the camera's rate, with sleep between two pictures; decoding then takes {decode['run_ms']:.1f} ms, and",
        f"{decode['mean_cpu_ms']:.1f} ms CPU on average with key frames:",
        "",
        "| subject | bare model, at the camera's rate | over the one without sleep | CPU ms |",
        "|---|---|---|---|",
    ]
    for name, bare in rate["floors"].items():
        paced, ratio = bare["paced"], bare["paced"]["run_ms"] / bare["run_ms"]
        rows.append(
            f"| {name} | {paced['run_ms']:.1f} ms ({ratio * bare['run_over_b']:.2f} B) | {ratio:.2f} "
            f"| {paced['cpu_ms']:.1f} |"
        )
    return rows


SECTION = ResultSection(name="glass", order=30, title="From glass to alert", measure=measure, render=render)
