"""Clips as the service makes them: from an alert to a request, and what an operator is to know of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from detector.alerts.clips.recorder import ClipRecorder, ClipRequest
from detector.capture.recording.recorders import Recorders, RecordingStats
from detector.config.schema import Config
from detector.core.types import Alert


class Clips:
    """Requests, status and problems of clips; thread-safe. `config`: the configuration of now."""

    def __init__(self, *, config: Callable[[], Config], recorders: Recorders, recorder: ClipRecorder) -> None:
        self._config, self._recorders, self.recorder = config, recorders, recorder

    def request(self, alert: Alert) -> bool:
        """Have the clip around `alert` made; whether there will be one."""
        camera = self._config().cameras.get(alert.camera)
        if camera is None or not camera.clip.enabled:
            return False
        seen = alert.frame.captured_mono
        return self.recorder.request(
            ClipRequest(
                event_id=alert.event_id,
                camera=alert.camera,
                begin_mono=seen - camera.clip.pre_s,
                end_mono=seen + camera.clip.post_s,
            )
        )

    def document(self) -> dict[str, Any]:
        """The status document's part."""
        recording = {name: _recording(stats) for name, stats in self._recorders.stats().items()}
        return {**dataclasses.asdict(self.recorder.stats()), "recording": recording}

    def problems(self) -> Iterator[str]:
        fault = self.recorder.stats().fault
        if fault is not None:
            yield f"clips: {fault}"
        for name, stats in self._recorders.stats().items():
            if stats.error is not None:
                yield f"camera {name}: no clips: its recording stream: {stats.error}"


def _recording(stats: RecordingStats) -> dict[str, Any]:
    ring = stats.ring
    return {
        "codec": ring.codec,
        "width": ring.width,
        "height": ring.height,
        "held_s": round(ring.held_s, 1),
        "held_bytes": ring.held_bytes,
        "overflows": ring.overflows,
        "second_stream": stats.second_stream,
        "error": stats.error,
    }
