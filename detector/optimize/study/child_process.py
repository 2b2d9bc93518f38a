"""A measuring child process, as seen by the parent."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.core.errors import InferenceError, ModelError

from .data import EvaluationSet
from .subject import StudySubject


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """Some runs over one picture: ms from picture in hand to boxes, of it the model's, and MiB at most so far."""

    total_ms: list[float]
    infer_ms: list[float]
    peak_mib: float | None


class Child:
    """Opens `what` in a process of its own; a context manager that always ends it. Raises ModelError."""

    def __init__(self, what: StudySubject) -> None:
        self.subject = what
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the child
        environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "detector.optimize.study.child_main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=environment,
        )
        try:
            self._send(what.to_json())
            self.versions: dict[str, str] = self._answer(ModelError)["ready"]
        except BaseException:
            self.close()
            raise

    def run(self, picture: Path, count: int) -> RunTimes:
        """Raises InferenceError."""
        self._send({"do": "run", "picture": str(picture), "count": count})
        return RunTimes(**self._answer(InferenceError))

    def evaluate(self, what: EvaluationSet) -> dict[str, Any]:
        """`ap`, `ap50`, `images`, `matches`; raises InferenceError."""
        only = None if what.whole else list(what.names)
        self._send({"do": "evaluate", "images": str(what.images), "annotations": str(what.annotations), "only": only})
        return self._answer(InferenceError)

    def close(self) -> None:
        """Ends the process at once, whatever it does: it has nothing to save. Harmless twice."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # one that is dead cannot take what was buffered
                    pipe.close()
        self._process.wait()
        self._said.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its last words are read with the answer
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    def _answer(self, kind: type[ModelError | InferenceError]) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise kind(f"its process ended ({self._process.wait()}): {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise kind(answer["error"])
        return answer

    def _last_words(self) -> str:
        self._said.seek(0)
        words = self._said.read().decode(errors="replace").split("\n")
        return next((line.strip()[:200] for line in reversed(words) if line.strip()), "it said nothing")
