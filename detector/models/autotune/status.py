"""Where tuning stands, for the status: written by whoever chooses, read by the report. Thread-safe."""

from __future__ import annotations

import threading
from typing import Any, Literal

from .choice import Choice

State = Literal["off", "waiting", "measuring", "settled"]


class AutotuneStatus:
    """`state` off: nothing is to be chosen, and `note` says why; waiting: for a quiet moment or for pictures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: State = "waiting"
        self._note: str | None = None
        self._choice: Choice | None = None

    def notify(self, state: State, note: str | None = None) -> None:
        with self._lock:
            self._state, self._note = state, note

    def chose(self, choice: Choice | None) -> None:
        """What is served from now on; None: the model as configured."""
        with self._lock:
            self._choice = choice

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        with self._lock:
            choice, state, note = self._choice, self._state, self._note
        return {
            "state": state,
            "note": note,
            "taken": None if choice is None else str(choice.taken),
            "why": None if choice is None else choice.why,
            "scenes": [] if choice is None else list(choice.scenes),
            "shapes": [] if choice is None else [f"{width}x{height}" for width, height in choice.shapes],
            "candidates": []
            if choice is None
            else [
                {"form": str(each.form), "ms": each.ms, "cpu_ms": each.cpu_ms, "refused": each.refused}
                for each in choice.results
            ],
        }
