"""Less detection while the device is too hot, draws too much power, slows itself down or does not keep up.

Heat and power take the steps of `reductions` in order. Where inference does not keep up the rate needs no step: frames
that come too fast are left out evenly and the newest is looked at (`LatestFrames`), so each camera gets what the machine
gives. Only when that is less than `power.min_detect_fps` the model gets smaller.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from typing import Any

from detector.capture.latest_frames import LatestFrames, reduced_fps
from detector.config.model_settings import Model
from detector.config.power_settings import PowerSettings
from detector.core import processes
from detector.core.clock import Clock
from detector.core.device_sensors import DeviceReading, DeviceSensors
from detector.core.errors import DetectorError
from detector.models.autotune.choice import scenes_of
from detector.models.autotune.reduced import ReducedForm, open_reduced
from detector.models.autotune.reduced_worker import COMMAND, decode_answer, encode_request

from .config_store import ConfigStore
from .governor import Governor, Pressure
from .health import CameraStats
from .model_host import ModelHost
from .overload import LoadMeter
from .reductions import Reduction, rate_shares, reduction
from .strain import Strain, StrainMeter, hottest

log = logging.getLogger(__name__)

LOOK_S = 1.0
OVERLOAD_S = 30.0  # a start, or a burst of work, is over by then
NICE = 5  # it is wanted soon, and over within seconds of a core's time
_ADVICE = {
    "heat": "improve the cooling",
    "power": "raise power.budget_w, or use fewer cameras",
    "load": "use fewer cameras, a lower detect_fps or a smaller model",
}


class PowerGovernor:
    """A thread; `document`, `throttling`, `problems` and `changes` may be asked from any."""

    def __init__(
        self,
        *,
        store: ConfigStore,
        sensors: DeviceSensors,
        frames: LatestFrames,
        model: ModelHost,
        load: LoadMeter,
        cameras: CameraStats,
        clock: Clock,
        command: Sequence[str] = COMMAND,
        look_s: float = LOOK_S,
    ) -> None:
        self._store, self._sensors, self._frames, self._host = store, sensors, frames, model
        self._load, self._cameras, self._clock = load, cameras, clock
        self._command, self._look_s = command, look_s
        self._strain_meter, self._governor, self._load_governor = StrainMeter(), Governor(), Governor()
        self._model: Model | None = None
        self._forms: tuple[ReducedForm, ...] | None = None  # None: not measured yet
        self._forms_note: str | None = None
        self._reading, self._strain = DeviceReading(), Strain(pressure="eased")
        self._reasons: dict[str, str] = {}  # why the last step down was taken, by kind: device, load
        self._now, self._least_fps = Reduction(), 0.0
        self._measuring: threading.Thread | None = None
        self._overloaded_since = math.inf

    # Any thread

    @property
    def changes(self) -> int:
        """Steps so far, down and up."""
        return self._governor.changes + self._load_governor.changes

    def throttling(self) -> str | None:
        """Why the device, or detection because of it, is slowed down; None while it is not."""
        if self._governor.level:
            return self._reasons.get("device")
        return self._strain.reason if self._reading.throttled_by else None

    def problems(self) -> tuple[str, ...]:
        """What an operator should know, in a line."""
        reasons = self._active_reasons()
        if not reasons:
            return ()
        advice = next((each for kind, each in _ADVICE.items() if any(r.startswith(kind) for r in reasons)), "")
        text = f"detection is reduced to {self._now} ({'; '.join(reasons)})"
        return (f"{text}: it goes back up by itself" + (f"; {advice}" if advice else ""),)

    def document(self) -> dict[str, Any]:
        """The state as a JSON document."""
        settings, now = self._store.config.power, self._now
        return {
            "state": "off" if not settings.adapt else "reduced" if self._active_reasons() else "full",
            "note": self._note(settings),
            "reasons": self._active_reasons(),
            "level": self._governor.level,
            "levels": self._governor.levels,
            "detect_share": round(now.detect_share, 3),
            "model": None if now.form is None else str(now.form),
            "cost": round(now.cost, 3),
            "changes": self.changes,
            "forms": [{"form": str(form), "cost": form.cost} for form in self._forms or ()],
        }

    def _active_reasons(self) -> list[str]:
        levels = {"device": self._governor.level, "load": self._load_governor.level}
        return [self._reasons[kind] for kind, level in levels.items() if level and kind in self._reasons]

    def _note(self, settings: PowerSettings) -> str | None:
        if not settings.adapt:
            return "power.adapt is false"
        notes = []
        if settings.budget_w is not None and self._sensors.power_name is None:
            notes.append("power.budget_w is set, but there is no power sensor that can be read")
        if hottest(self._reading.temperatures, settings.max_temperature_c) is None and not self._reading.throttled_by:
            known = self._reading.throttled_by is not None or settings.budget_w is not None
            notes.append("no temperature sensor with a limit" if known else "no sensors: heat and power are not known")
        return "; ".join([*notes, *filter(None, [self._forms_note])]) or None

    # The thread

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.look(stop)
            except Exception as error:
                # Whatever goes wrong here, what serves goes on; the next look tries again.
                expected = isinstance(error, DetectorError)
                log.warning("heat and power could not be judged: %s", error, exc_info=not expected)
                self._forms, self._forms_note = (), f"smaller models are not used: {error}"
            stop.wait(self._look_s)
        if self._measuring is not None:
            self._measuring.join()

    def look(self, stop: threading.Event) -> None:
        """One look at the sensors and the load; `run` takes one a second."""
        config, now = self._store.config, self._clock.mono()
        if config.model != self._model:
            self._begin(config.model)
        self._reading = self._sensors.read()
        self._strain = self._strain_meter.observe(now, self._reading, config.power)
        load = self._load_pressure(config.power)
        shares = self._shares(config.power) if config.power.adapt else ()
        forms = (
            self._forms_for(stop, needed=self._strain.pressure == "over" or self._lasts(now, load))
            if config.power.adapt
            else ()
        )
        self._governor.resize(len(shares) + len(forms))
        self._load_governor.resize(len(forms))
        for kind, governor, strain in (("device", self._governor, self._strain), ("load", self._load_governor, load)):
            before = governor.level
            if governor.update(now, strain.pressure) > before and strain.reason is not None:
                self._reasons[kind] = strain.reason
        self._apply(reduction(self._governor.level, self._load_governor.level, shares, forms), config.power)

    def _begin(self, model: Model) -> None:
        """Another model is configured: smaller forms of the old one must not stand in for it."""
        self._model, self._forms, self._forms_note = model, None, None
        self._host.restore()
        self._now = Reduction(detect_share=self._now.detect_share)

    def _rates(self) -> list[float]:
        return [camera.detect_fps for camera in self._store.config.cameras.values() if camera.enabled]

    def _shares(self, settings: PowerSettings) -> tuple[float, ...]:
        return rate_shares(max(self._rates(), default=settings.min_detect_fps), settings.min_detect_fps)

    def _load_pressure(self, settings: PowerSettings) -> Strain:
        overload, rates = self._load.overload, self._rates()
        if overload is None or not rates or overload.due <= 0.0:
            return Strain(pressure="eased")
        slowest = min(reduced_fps(rate, self._now.detect_share, settings.min_detect_fps) for rate in rates)
        gets = slowest * overload.looked_at / overload.due
        pressure: Pressure = "over" if gets < min(settings.min_detect_fps, slowest / 2) else "hold"
        return Strain(pressure=pressure, reason=f"load: {gets:.1f} of {slowest:g} detections a second are possible")

    def _lasts(self, now: float, load: Strain) -> bool:
        """Whether inference has not kept up for so long that measuring, which costs it time too, pays."""
        self._overloaded_since = min(self._overloaded_since, now) if load.pressure == "over" else math.inf
        return now - self._overloaded_since >= OVERLOAD_S

    def _forms_for(self, stop: threading.Event, *, needed: bool) -> tuple[ReducedForm, ...]:
        """The smaller forms; measured when they are needed first, since that costs half a minute of a core."""
        if self._forms is None and needed and not self._host.loading:
            config = self._store.config
            sizes = [(each.width, each.height) for each in self._cameras().values() if each.width and each.height]
            wish = encode_request(config.model, list(dict.fromkeys(sizes)), list(scenes_of(config)))
            self._forms, self._forms_note = (), "smaller models are being measured"
            given = (config.model, wish, stop)
            self._measuring = threading.Thread(target=self._measure, args=given, name="governor-forms", daemon=True)
            self._measuring.start()
        return self._forms or ()

    def _measure(self, model: Model, wish: bytes, stop: threading.Event) -> None:
        """Beside the governor, which goes on meanwhile."""
        try:
            answer = processes.run(self._command, stop, nice=NICE, given=wish)
            forms = [] if answer is None else decode_answer(answer)
        except DetectorError as error:
            log.warning("smaller models were not measured: %s", error)
            if model == self._model:
                self._forms_note = f"smaller models were not measured: {error}"
            return
        if model == self._model:
            self._forms = tuple(forms)
            self._forms_note = None if forms else "there is no smaller model: only detect_fps is reduced"

    def _apply(self, wanted: Reduction, settings: PowerSettings) -> None:
        if self._now.form is not None and not self._host.reduced:
            self._refuse(self._now.form)
            return
        if (wanted, settings.min_detect_fps) == (self._now, self._least_fps):
            return
        if wanted.form != self._now.form:
            self._use(wanted.form)
        self._frames.slow(wanted.detect_share, least_fps=settings.min_detect_fps)
        if wanted.cost < self._now.cost:
            log.warning("detection is reduced to %s: %s", wanted, "; ".join(self._active_reasons()))
        elif wanted != self._now:
            log.info("detection goes up to %s", wanted)
        self._now, self._least_fps = wanted, settings.min_detect_fps

    def _use(self, form: ReducedForm | None) -> None:
        if form is None:
            self._host.restore()
            return
        sizes = [(each.width, each.height) for each in self._cameras().values() if each.width and each.height]
        model = self._store.config.model

        def load() -> Any:
            return open_reduced(model, form, tuple(dict.fromkeys(sizes)))

        detector = load()
        detector.warm_up()
        self._host.reduce(detector, load)

    def _refuse(self, form: ReducedForm) -> None:
        """It failed while it served, and the full model serves again."""
        self._forms = tuple(each for each in self._forms or () if each != form)
        self._forms_note = f"{form} failed and is not used again"
        self._now = Reduction(detect_share=self._now.detect_share)
