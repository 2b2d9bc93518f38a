"""The pictures of alerts: made once, kept with the visit, published just before their alert, small enough for the broker."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from detector.core.types import Alert, ArrayImage, Box, EventChange, Frame, Message

from .history_writer import HistoryWriter, MakeJpeg
from .snapshot_fit import fitted

log = logging.getLogger(__name__)

EncodeSnapshot = Callable[[Frame, Box, float, "int | None"], "bytes | None"]
"""The frame as JPEG with the person's box and score drawn, at most so many px wide; None where the picture is lost."""
SNAPSHOT_WIDTH = 960
"""px. Of 1080p half of each side: a JPEG in 2 ms where the whole takes 6, and a third of its bytes."""
MAX_FIRSTS = 8  # visits with a first picture still to be made: each holds a frame
NO_FRAME = Frame(
    camera="", seq=0, captured_mono=0.0, captured_wall=0.0, image=ArrayImage(np.zeros((72, 128, 3), np.uint8))
)
_SMALLER = "raise its limit (Mosquitto: message_size_limit) or set mqtt.snapshot_width"


class PictureLink(Protocol):
    """What is needed of the MQTT client."""

    def size_limit(self) -> int | None: ...

    def take_rejected(self) -> list[Message]: ...


class Give(Protocol):
    """Hands a message to the link."""

    def __call__(self, message: Message, *, hint: str | None = None, shrinks: bool = False) -> None: ...


class AlertPictures:
    """For the dispatcher's thread alone. `topic`: a camera's topic; `width` px of what is published, 0: the frame's."""

    def __init__(
        self,
        *,
        encode: EncodeSnapshot,
        history: HistoryWriter,
        link: PictureLink,
        give: Give,
        topic: Callable[[str], str],
        width: int,
    ) -> None:
        self._encode, self._history, self._link, self._give = encode, history, link, give
        self._topic, self._width = topic, width
        self._waiting: dict[int, Message] = {}  # of alerts that have not gone out: by the outbox's number
        self._last_alerted: deque[str] = deque(maxlen=MAX_FIRSTS)

    def warm_up(self) -> None:
        """Loads a font: 70 ms, once."""
        self._made(partial(self._encode, NO_FRAME, (8.0, 40.0, 32.0, 64.0), 0.0, None))

    def take(self, alert: Alert, seq: int) -> bytes | None:
        """Make and keep the picture of the alert that the outbox numbered `seq`; what is published of it."""
        make = partial(self._encode, alert.frame, alert.box, alert.score)
        small = 0 < self._width < alert.frame.image.width
        jpeg = self._made(partial(make, self._width if small else None))
        if jpeg is not None:
            self._waiting[seq] = Message(topic=self._topic(alert.camera), payload=jpeg, retain=True)
            self._history.save_picture(alert.event_id, partial(make, None) if small else lambda: jpeg)
            self._last_alerted.append(alert.event_id)
        return jpeg

    def take_first(self, change: EventChange) -> None:
        """Keep a visit's first picture, unless an alert's takes its place."""
        if change.after.id not in self._last_alerted:
            make = partial(self._encode, change.frame, change.after.box, change.after.score, None)
            self._history.save_picture(change.after.id, make)

    def publish(self, seq: int) -> None:
        """Publish the picture of that alert, if it waits."""
        message = self._waiting.pop(seq, None)
        if message is not None:
            self._offer(message)

    def publish_oldest(self, *, keep: int) -> None:
        """Publish all but the latest `keep`."""
        for seq in list(self._waiting)[: max(0, len(self._waiting) - keep)]:
            self.publish(seq)

    def shrink_rejected(self) -> None:
        """Publish again, smaller, what the broker found too large."""
        for message in self._link.take_rejected():
            self._offer(message)

    def _made(self, make: MakeJpeg) -> bytes | None:
        """Whatever happens to the picture, the alert goes out."""
        try:
            return make()
        except Exception:
            log.exception("a picture could not be made")
            return None

    def _offer(self, message: Message) -> None:
        limit = self._link.size_limit()
        jpeg = fitted(message.payload, limit)
        if jpeg is None:
            log.warning("%s: no picture is small enough for a broker that takes %s bytes", message.topic, limit)
            return
        hint = f"{_SMALLER}, or allow {message.topic} in its access rules"
        self._give(replace(message, payload=jpeg), hint=hint, shrinks=True)
