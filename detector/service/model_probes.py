"""Pictures that the model is to look at beside the cameras' frames: what it finds goes to who asked, and nowhere else."""

from __future__ import annotations

import queue
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Protocol

from detector.core.errors import DetectorError
from detector.core.types import Detections, Frame


class FrameDetector(Protocol):
    """The model, used in the inference thread alone."""

    @property
    def input_size(self) -> tuple[int, int]: ...

    def detect(self, frame: Frame) -> Detections: ...


class ModelProbes:
    """`detect` waits, in any thread but the inference loop's, which calls `run_one`: one picture between two frames."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Frame, Future[Detections]]] = queue.SimpleQueue()
        self.input_size = (0, 0)
        """Width and height in px of the model's input, once it has looked at a picture."""

    def detect(self, frame: Frame, *, timeout_s: float) -> Detections | None:
        """The persons in `frame`; None where the model did not answer in time, or failed."""
        answer: Future[Detections] = Future()
        self._waiting.put((frame, answer))
        try:
            return answer.result(timeout_s)
        except (FutureTimeoutError, CancelledError, DetectorError):
            answer.cancel()
            return None

    def run_one(self, detector: FrameDetector | None) -> None:
        """Look at the picture that waits longest, if one does; for the inference thread."""
        try:
            frame, answer = self._waiting.get_nowait()
        except queue.Empty:
            return
        if detector is None or not answer.set_running_or_notify_cancel():
            answer.cancel()
            return
        try:
            answer.set_result(detector.detect(frame))
        except Exception as error:
            answer.set_exception(error if isinstance(error, DetectorError) else DetectorError(str(error)))
        self.input_size = detector.input_size
