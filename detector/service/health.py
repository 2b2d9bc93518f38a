"""The night watch: does every stage progress, which camera is dark, what should an operator know."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from detector.api.control import Health, Ready
from detector.capture.camera import CaptureStats

from .overload import LoadMeter
from .runtime import House

log = logging.getLogger(__name__)

STALE_S = 15.0  # a stage whose loop did not turn for this long stands still
FAILING_S = 10.0  # a model that failed this long is more than a hiccup
DARK_S = 5.0  # a camera without a frame for this long has no visitors any more
STALE_FRAME_S = 5.0
PRUNE_S = 3600.0


def camera_word(stats: CaptureStats, *, failing: bool) -> str:
    """`P/CAM/status`: online, offline, or degraded while pictures come and nobody can judge them."""
    if stats.state != "online":
        return "offline"
    return "degraded" if failing else "online"


class HealthMonitor:
    """Looks at the house twice a second from the main thread; `health` and `ready` from any."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._published: dict[str, str] = {}
        self._quieted: set[str] = set()
        self._problem: str | None = None
        self._next_prune = 0.0
        self._load = LoadMeter()

    # What it knows

    def health(self) -> Health:
        """The first stage that stands still, if any."""
        for name, fault in self.faults():
            return Health(ok=False, stage=name, detail=fault)
        return Health(ok=True)

    def faults(self) -> Iterator[tuple[str, str]]:
        house, now = self._house, self._house.clock.mono()
        for stage in house.stages:
            if not stage.alive:
                yield stage.name, f"ended: {stage.failure}" if stage.failure else "ended"
        for name, age in self.ages().items():
            if age > self._patience(name):
                yield name, f"no progress for {age:.0f} s"
        since = house.worker.failing_since
        if since is not None and now - since > FAILING_S:
            yield "inference", f"failing for {now - since:.0f} s: {house.worker.error}"

    def _patience(self, stage: str) -> float:
        settings = self._house.config.cameras.get(stage.removeprefix("camera-"))
        # A read may block for its whole time-out, opening for another, before the loop turns again.
        return STALE_S + (2 * settings.timeout_s if settings is not None else 0.0)

    def ages(self) -> dict[str, float]:
        """Seconds since each stage last progressed."""
        house, now = self._house, self._house.clock.mono()
        ages = {"dispatch": now - house.dispatcher.progress_mono}
        if not house.worker.loading:  # an engine may take minutes to build: that is no standing still
            ages["inference"] = now - house.worker.progress_mono
        for name, stats in house.cameras.stats().items():
            ages[f"camera-{name}"] = now - stats.progress_mono
        return ages

    def ready(self) -> Ready:
        """Whether the model is there and every enabled camera has given a frame."""
        stats = self._house.cameras.stats()
        reasons = [
            f"camera {name} has given no frame yet: {entry.error or entry.state}"
            for name, entry in stats.items()
            if entry.frames == 0
        ]
        stages = [f"camera-{name}" for name, entry in stats.items() if entry.frames == 0]
        if self._house.worker.detector is None:
            reasons.insert(0, "the model is not loaded")
            stages.insert(0, "model")
        return Ready(ok=not reasons, reasons=tuple(reasons), stages=tuple(stages))

    def problems(self) -> list[str]:
        """What an operator should know, one plain line each; empty when all is well."""
        return list(self._problems())

    def _problems(self) -> Iterator[str]:
        house, now = self._house, self._house.clock.mono()
        yield from (f"{name}: {fault}" for name, fault in self.faults())
        for name, stats in house.cameras.stats().items():
            if stats.state != "online":
                yield f"camera {name} is {stats.state}: {stats.error or 'no frame yet'}"
            elif stats.last_frame_mono is not None and now - stats.last_frame_mono > STALE_FRAME_S:
                yield f"camera {name}: its last frame is {now - stats.last_frame_mono:.0f} s old"
        load = self._load.overload
        if load is not None:
            yield (
                f"overloaded: {load.looked_at:.0f} of {load.due:.0f} frames/s are looked at; "
                "lower detect_fps or choose a smaller model"
            )
        link, outbox = house.link.status(), house.outbox.stats()
        if link.state != "connected":
            waiting = f"; {outbox.pending_alerts} alerts wait on disk" if outbox.pending_alerts else ""
            yield f"broker {link.address}: {link.error or link.state}{waiting}"
        if outbox.fault:
            yield f"outbox: {outbox.fault}"

    # What it does

    def assess(self) -> bool:
        """One round: tell of cameras, end the visits of dark ones, tidy up; True when all stages progress."""
        house = self._house
        for name, stats in house.cameras.stats().items():
            self._notify(name, camera_word(stats, failing=house.worker.failing_since is not None))
            self._end_visits(name, stats)
        self._measure_load()
        self._prune()
        health = self.health()
        problem = None if health.ok else f"{health.stage}: {health.detail}"
        if problem != self._problem:
            log.log(logging.ERROR if problem else logging.INFO, "%s", problem or "all stages progress again")
            self._problem = problem
        return health.ok

    def forget(self, camera: str) -> None:
        """A camera was removed: tell anew should it come back."""
        self._published.pop(camera, None)
        self._quieted.discard(camera)

    def _notify(self, camera: str, word: str) -> None:
        if self._published.get(camera) != word:
            self._published[camera] = word
            self._house.post.camera_status(camera, word)

    def _end_visits(self, camera: str, stats: CaptureStats) -> None:
        now = self._house.clock.mono()
        dark = stats.state != "online" and stats.last_frame_mono is not None and now - stats.last_frame_mono > DARK_S
        if dark and camera not in self._quieted:
            self._quieted.add(camera)
            self._house.worker.end_visits(camera)
        elif stats.state == "online":
            self._quieted.discard(camera)

    def _measure_load(self) -> None:
        house = self._house
        if house.worker.failing_since is not None:
            self._load.forget()  # the model fails, and that is told already
            return
        self._load.observe(house.clock.mono(), {name: house.slots.counts(name) for name in house.config.cameras})

    def _prune(self) -> None:
        now = self._house.clock.mono()
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_S
            self._house.history.prune()
