"""The state of the choice of the model variant, for the status document. Thread-safe."""

from __future__ import annotations

import threading
from typing import Any, Literal

from .choice import Choice

State = Literal["off", "waiting", "measuring", "settled"]


class AutotuneStatus:
    """`state` off: nothing is chosen, and `note` says why; waiting: for the start-up load to end or for pictures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: State = "waiting"
        self._note: str | None = None
        self._choice: Choice | None = None

    def notify(self, state: State, note: str | None = None) -> None:
        with self._lock:
            self._state, self._note = state, note

    def chose(self, choice: Choice | None) -> None:
        """Set the choice in use; None: the model as configured."""
        with self._lock:
            self._choice = choice

    def document(self) -> dict[str, Any]:
        """The state as a JSON document."""
        with self._lock:
            choice, state, note = self._choice, self._state, self._note
        nothing: dict[str, Any] = {"taken": None, "why": None, "scenes": [], "shapes": [], "candidates": []}
        return {"state": state, "note": note, **(nothing if choice is None else choice.summary())}
