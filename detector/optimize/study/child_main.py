"""The child process that runs one subject: commands as JSON lines on stdin, results on stdout.

One process a subject: its peak memory is its own, no library's threads disturb another's, and what crashes
takes nothing with it. Ends when its stdin does, so a killed parent leaves no orphan.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from detector.capture.pictures import read_picture
from detector.core.errors import DetectorError
from detector.core.types import Image
from detector.inference.detector import PersonDetector
from detector.models.accuracy.average_precision import evaluate

from .subject import StudySubject, open_subject

Answer = dict[str, Any]


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    # What a library prints must not be read as an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    try:
        worker = _Worker(StudySubject.from_json(json.loads(sys.stdin.readline())))
    except DetectorError as error:
        _answer(answers, {"error": str(error)})
        return 1
    _answer(answers, {"ready": worker.versions()})
    for line in sys.stdin:
        order = json.loads(line)
        try:
            _answer(answers, worker.obey(order.pop("do"), order))
        except DetectorError as error:
            _answer(answers, {"error": str(error)})
    return 0


def _answer(answers: IO[str], answer: Answer) -> None:
    answers.write(json.dumps(answer) + "\n")


class _Worker:
    def __init__(self, what: StudySubject) -> None:
        self._detector: PersonDetector = open_subject(what)
        self._pictures: dict[str, Image] = {}
        self._detector.warm_up()

    def versions(self) -> dict[str, str]:
        found = self._detector
        return {"backend": found.backend, "version": found.backend_version, "precision": found.precision}

    def obey(self, what: str, arguments: dict[str, Any]) -> Answer:
        known: dict[str, Callable[..., Answer]] = {"run": self._run, "evaluate": self._evaluate}
        return known[what](**arguments)

    def _run(self, picture: str, count: int) -> Answer:
        """`count` runs over one picture after one that nobody counts: others have had the caches meanwhile."""
        if picture not in self._pictures:
            self._pictures[picture] = read_picture(Path(picture), as_stored=True)
        image = self._pictures[picture]
        self._detector.detect_image(image)
        runs = []
        for _ in range(count):
            self._detector.detect_image(image)
            times = self._detector.last_times
            runs.append((times.preprocess_ms + times.infer_ms + times.decode_ms, times.infer_ms))
        return {"total_ms": [run[0] for run in runs], "infer_ms": [run[1] for run in runs], "peak_mib": peak_mib()}

    def _evaluate(self, images: str, annotations: str, only: list[str] | None) -> Answer:
        kept = None if only is None else frozenset(only)
        found = evaluate(detector=self._detector, images=Path(images), annotations=Path(annotations), only=kept)
        return {"ap": found.ap, "ap50": found.ap50, "images": found.images, "matches": found.matches.to_json()}


def peak_mib() -> float | None:
    """The most memory that this process ever had resident, in MiB (Linux: VmHWM).

    getrusage's maximum would count the parent's, from before exec.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return None if found is None else int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
