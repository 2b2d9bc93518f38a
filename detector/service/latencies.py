"""How long a picture and an alert take, by stage: the histograms that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from detector.core.histogram import HistogramCounts, StageHistograms

FRAME_STAGES = ("wait", "inference", "rules", "total")
ALERT_STAGES = ("capture_to_confirm", "confirm_to_publish", "publish_to_acknowledge", "total")


class Latencies:
    """`frames`: from the capture of a picture until its tracks and rules are done. `alerts`: of acknowledged ones."""

    def __init__(self) -> None:
        self.frames = StageHistograms(FRAME_STAGES)
        self.alerts = StageHistograms(ALERT_STAGES)
        self.on_alert: Callable[[float], None] = lambda _total_ms: None

    def frame(self, *, captured_mono: float, begun_mono: float, done_mono: float, infer_s: float) -> None:
        """A picture that the model saw; its rules ran from `begun_mono` to `done_mono`. `wait` is all before but the model."""
        self.frames.observe(
            wait=begun_mono - captured_mono - infer_s,
            inference=infer_s,
            rules=done_mono - begun_mono,
            total=done_mono - captured_mono,
        )

    def alert(self, latency_ms: Mapping[str, float], acknowledged_s: float) -> None:
        """An alert that the broker acknowledged `acknowledged_s` after it was handed over; `latency_ms` as it says itself."""
        self.alerts.observe(
            capture_to_confirm=latency_ms["capture_to_confirm"] / 1e3,
            confirm_to_publish=latency_ms["confirm_to_publish"] / 1e3,
            publish_to_acknowledge=acknowledged_s,
            total=latency_ms["total"] / 1e3,
        )
        self.on_alert(latency_ms["total"])

    def counts(self) -> Mapping[str, Mapping[str, HistogramCounts]]:
        """By metric, then by stage."""
        return {"frame_latency_seconds": self.frames.counts(), "alert_latency_seconds": self.alerts.counts()}
