"""Eight cameras for minutes or hours, with outages and a polled page: memory, threads and descriptors stay flat.

`make soak ARGS="--hours 1"` runs an hour, whose slope of memory is held to 1 MiB/h; the short form only finds leaks of
many MiB a minute, since what the libraries set up once hides what is smaller.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import sample
from support.clip_server import ClipServer
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program
from support.rtsp_server import why_not

MINUTES = float(os.environ.get("DETECTOR_SOAK_MINUTES", "5"))
WARM_UP_S = 45.0 if MINUTES < 30 else 900.0
OUTAGE_EVERY_S = 30.0
SLOPE_MIB_H = 240.0 if MINUTES < 30 else 1.0
PAGE = ("/", "/metrics", "/api/status", "/api/events?limit=20", "/api/cameras/file-1/latest.jpg", "/api/config")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(MINUTES * 60 + WARM_UP_S + 900)]


def _figures(pid: int) -> tuple[float, int, int]:
    """RSS in MiB, threads, open descriptors."""
    process = Path(f"/proc/{pid}")
    rss = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return rss, len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


def slope_mib_h(minutes: np.ndarray, rss: np.ndarray) -> float:
    """MiB an hour: the median slope between all pairs of minutes' lowest values (Theil and Sen; outages do not count)."""
    whole = np.unique(minutes.astype(int))
    floor = np.array([rss[minutes.astype(int) == minute].min() for minute in whole])
    first, second = np.triu_indices(len(whole), 1)
    return float(np.median((floor[second] - floor[first]) / (whole[second] - whole[first]))) * 60.0


def cameras(clip: Path, urls: list[str]) -> dict[str, Any]:
    """Half of them over RTSP, half from a file that begins again."""
    common = {"detect_fps": 2, "alert": {"cooldown_s": 0, "still_days": 0}}
    streams = {f"rtsp-{n}": {"source": url, "timeout_s": 2, **common} for n, url in enumerate(urls, 1)}
    return streams | {f"file-{n}": {"source": str(clip), "loop": True, **common} for n in range(1, 5)}


def outages(victims: list[ClipServer | Mosquitto]) -> Callable[[float], None]:
    """One thing after the other is gone for three seconds, for ever."""
    done = 0

    def at(elapsed_s: float) -> None:
        nonlocal done
        if elapsed_s > (done + 1) * OUTAGE_EVERY_S:
            victim = victims[done % len(victims)]
            done += 1
            victim.kill()
            time.sleep(3)
            victim.start()

    return at


def watch(program: Program, seconds: float, outage: Callable[[float], None]) -> list[tuple[float, int, int]]:
    """The process's figures once a second or so, while the page is polled."""
    assert program.process is not None
    samples, begun = [], time.monotonic()
    while (elapsed := time.monotonic() - begun) < seconds:
        for path in PAGE:
            assert program.get(path)[0] == 200, path
        outage(elapsed)
        time.sleep(1)
        samples.append(_figures(program.process.pid))
    return samples


@pytest.mark.skipif(why_not() is not None, reason=f"needs a real RTSP server: {why_not()}")
def test_memory_threads_and_descriptors_stay_flat_through_outages(tmp_path: Path) -> None:
    sample.model()  # the service wants it too
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    subscriber = RecordingSubscriber(broker.port, "detector/alerts")
    with ExitStack() as stack:
        servers = [stack.enter_context(ClipServer(sample.clip())) for _ in range(4)]
        config = {
            "cameras": cameras(sample.clip(), [server.url for server in servers]),
            "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
        }
        program = stack.enter_context(Program(tmp_path / "run", config))
        program.wait_ready()
        program.wait_for(lambda: all(program.get(path)[0] == 200 for path in PAGE), "the first picture")
        outage = outages([*servers, broker])
        watch(program, WARM_UP_S, outage)
        samples = watch(program, MINUTES * 60, outage)
        program.wait_for(lambda: program.status()["outbox"]["pending_alerts"] == 0, "an empty outbox")
        choice = program.status()["model"]["choice"]
        assert program.stop() == 0
    seqs = {json.loads(heard.payload)["seq"] for heard in subscriber.heard}
    subscriber.close()
    broker.kill()

    rss, threads, descriptors = (np.array(column, float) for column in zip(*samples, strict=True))
    minutes = np.arange(len(rss)) * (MINUTES / len(rss))
    slope = slope_mib_h(minutes, rss) if MINUTES >= 2 else float(np.polyfit(minutes, rss, 1)[0]) * 60.0
    print(
        f"{MINUTES:g} min after {WARM_UP_S:.0f} s: RSS {rss[0]:.0f} to {rss[-1]:.0f} MiB (at most {rss.max():.0f}), "
        f"slope {slope:.2f} MiB/h, threads {threads.min():.0f} to {threads.max():.0f}, "
        f"descriptors {descriptors.min():.0f} to {descriptors.max():.0f}, {len(seqs)} alerts, tuning: {choice['state']}, {choice.get('taken')}"
    )
    assert slope < SLOPE_MIB_H, "memory grows"
    assert threads.max() - np.median(threads) <= 16
    assert descriptors[-20:].max() <= np.median(descriptors) + 16
    assert seqs == set(range(1, max(seqs) + 1)), "an alert is missing"
