"""Minutes of life with everything on: memory, threads and descriptors stay where they were."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from support import sample
from support.clip_server import ClipServer
from support.mosquitto import Mosquitto, RecordingSubscriber
from support.program import Program
from support.rtsp_server import why_not

MINUTES = float(os.environ.get("DETECTOR_SOAK_MINUTES", "5"))
SETTLE_S = 45.0
pytestmark = [pytest.mark.soak, pytest.mark.timeout(MINUTES * 60 + 300)]


def _figures(pid: int) -> tuple[float, int, int]:
    """RSS in MiB, threads, open descriptors."""
    process = Path(f"/proc/{pid}")
    rss = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return rss, len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


@pytest.mark.skipif(why_not() is not None, reason=f"needs a real RTSP server: {why_not()}")
def test_memory_threads_and_descriptors_stay_flat_through_outages(tmp_path: Path) -> None:
    sample.model()  # the service wants it too
    clip = sample.clip()
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    subscriber = RecordingSubscriber(broker.port, "detector/alerts")
    with ClipServer(clip) as camera:
        config = {
            "cameras": {
                "gate": {"source": camera.url, "timeout_s": 2, "alert": {"cooldown_s": 0}},
                "door": {"source": str(clip), "loop": True, "alert": {"cooldown_s": 0}},
            },
            "mqtt": {"broker": f"mqtt://127.0.0.1:{broker.port}"},
        }
        with Program(tmp_path / "run", config) as program:
            program.wait_ready()
            assert program.process is not None
            time.sleep(SETTLE_S)
            samples: list[tuple[float, int, int]] = []
            begun, outages = time.monotonic(), 0
            while time.monotonic() - begun < MINUTES * 60:
                program.get("/api/cameras/door/latest.jpg")
                program.get("/metrics")
                if time.monotonic() - begun > (outages + 1) * 30:
                    outages += 1
                    camera.kill() if outages % 2 else broker.kill()
                    time.sleep(3)
                    camera.start() if outages % 2 else broker.start()
                time.sleep(1)
                samples.append(_figures(program.process.pid))
            program.wait_for(lambda: program.status()["outbox"]["pending_alerts"] == 0, "an empty outbox")
            assert program.stop() == 0
    ids = [json.loads(h.payload)["id"] for h in subscriber.heard]
    subscriber.close()
    broker.kill()
    rss, threads, descriptors = (np.array(column, float) for column in zip(*samples, strict=True))
    minutes = np.arange(len(rss)) * (MINUTES / len(rss))
    slope = float(np.polyfit(minutes, rss, 1)[0])
    print(f"{MINUTES:g} min: RSS {rss[0]:.0f} to {rss[-1]:.0f} MiB, slope {slope:.2f} MiB/min, {len(set(ids))} alerts")
    assert slope < 4.0, "memory grows"
    assert threads.max() - np.median(threads) <= 8
    assert descriptors[-20:].max() <= np.median(descriptors) + 12
    assert ids
