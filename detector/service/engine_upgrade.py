"""`backend: auto` where there is a GPU: ONNX Runtime serves at once, an engine is built beside it, then takes over.

The build runs in a child process: minutes of it, its memory, and TensorRT's faults stay outside the service.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from detector.config.model_settings import Model
from detector.core import processes
from detector.core.errors import DetectorError
from detector.inference.factory import tensorrt_usable
from detector.models.autotune.loader import AutotunedLoader
from detector.models.loading import loader, resolve

from .config_store import ConfigStore
from .model_host import Load, ModelHost

log = logging.getLogger(__name__)

LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`command` builds, and answers a JSON object with a `note` on stdout; `open` loads what it built.

    `reload` is for later, should that fail while it serves: it may come to something else.
    """

    command: Sequence[str]
    open: Load
    reload: Load


def wanted(model: Model) -> bool:
    """Whether an engine could serve `model` better than what was asked for does."""
    return model.backend == "auto" and not model.name.endswith(".engine") and tensorrt_usable()


def plan(model: Model) -> Plan:
    """`detector build` of the model's file, and loaders that find the engine then; raises ModelError."""
    found = resolve(model)
    return Plan(
        command=[sys.executable, "-m", "detector", "build", str(found.path), "--precision", model.precision, "--json"],
        open=loader(model.model_copy(update={"backend": "tensorrt"}), found),
        reload=AutotunedLoader(model, found),
    )


class EngineUpgrade:
    """A thread: for each model that the config names, builds its engine once and swaps it in."""

    def __init__(
        self,
        *,
        store: ConfigStore,
        model: ModelHost,
        wanted: Callable[[Model], bool] = wanted,
        plan: Callable[[Model], Plan] = plan,
    ) -> None:
        self._store, self._model, self._wanted, self._plan = store, model, wanted, plan
        self._settled: Model | None = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            model = self._store.config.model
            if model != self._settled:
                self._settled = model
                self._consider(model, stop)
            stop.wait(LOOK_S)

    def _consider(self, model: Model, stop: threading.Event) -> None:
        host = self._model
        host.note = None
        if not self._wanted(model) or (host.detector is not None and host.detector.backend == "tensorrt"):
            return
        host.note = "a TensorRT engine is being built"
        try:
            plan = self._plan(model)
            note = self._build(plan.command, stop)
            if not stop.is_set():
                self._take(model, plan, note)
        except DetectorError as error:
            log.warning("no TensorRT engine: %s", error)
            host.note = f"no TensorRT engine: {error}"

    def _build(self, command: Sequence[str], stop: threading.Event) -> str | None:
        """Until it is built, or `stop`: what there is to say of it; raises DetectorError."""
        log.info("building a TensorRT engine; meanwhile %s serves", self._store.config.model.name)
        output = processes.run(command, stop)
        return None if output is None else _note(output)

    def _take(self, model: Model, plan: Plan, note: str | None) -> None:
        detector = plan.open()
        backend = detector.backend
        # Another model may have been configured meanwhile.
        if self._model.swap(detector, plan.reload, wanted=lambda: self._store.config.model == model):
            self._model.note = note
            log.info("%s is used from the next frame on", backend)


def _note(output: bytes) -> str | None:
    try:
        note = json.loads(output)["note"]
    except (ValueError, TypeError, KeyError):
        raise DetectorError("the build did not say what it built") from None
    return None if note is None else str(note)
