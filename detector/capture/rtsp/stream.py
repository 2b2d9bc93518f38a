"""The pictures of a playing stream: session, packets, access units, decoder, in that order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from detector.capture.packets import PacketTap
from detector.capture.source import WAITING_S, WaitingError
from detector.core.clock import Clock
from detector.core.errors import SourceError

from .access_units import Assembler
from .annex_b import UnitTap
from .decode import Decoder
from .decode_queue import DecodeQueue
from .errors import not_understood
from .h264 import H264
from .h265 import H265
from .nal import Depacketizer
from .rtp import Receiver
from .sdp import Video
from .session import RtspSession

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

PAYLOADS: dict[str, Callable[[], Depacketizer]] = {"h264": H264, "hevc": H265}
_BAD_UNITS = 100  # in a row; fewer are a disturbance, so many mean another codec than announced
_DEFAULT_FPS = 25.0
_STARVING_S = 1.0
_FRESH_S = 0.1  # pictures younger than this are returned without checking for newer ones, which is a system call
_GULPS = 8  # reads of about a megabyte: the key frame to continue from may be in the last of them
_GRACE_S = 0.5  # beyond the deadline, if data has arrived that was not read yet
_LONGEST_KEY_S = 4.0  # between key frames, to decode only those: the longest delay until a person is detected
_DISORDER_S = 1.0  # stamps that go back less than this are disorder, more is a clock that was set
_KEYS_ENOUGH = 3  # key frames without a picture of them are no wait for a key frame
_FLOOD_BYTES = 1 << 25  # without a picture: FFmpeg's parser would keep all of it in memory while it looks for one
_SILENT = 0.99  # of the time-out, as a poll ends a little early
_SILENT_ONLINE = 0.5  # of it, where a picture was due all the time


def unit_tap(video: Video, tap: PacketTap | None) -> UnitTap | None:
    """Where the access units of a connection go besides the decoder."""
    if tap is None:
        return None
    return UnitTap(tap, codec=video.codec, sets=video.parameter_sets, clock_rate=video.clock_rate)


class Stream:
    """One connection's pictures. Raises SourceError; NotUnderstoodError if FFmpeg may succeed."""

    def __init__(
        self,
        *,
        url: str,
        shown: str,
        timeout_s: float,
        clock: Clock,
        keyframes_only: Callable[[], bool],
        tap: PacketTap | None = None,
    ) -> None:
        self._tap = tap
        self._unit_tap: UnitTap | None = None
        self._shown, self._timeout_s, self._clock, self._keyframes_only = shown, timeout_s, clock, keyframes_only
        self._session = RtspSession(url=url, shown=shown, timeout_s=timeout_s, clock=clock)
        self._frames: deque[tuple[VideoFrame, float]] = deque()
        self._heard_mono = 0.0
        self._picture_mono = 0.0  # when the last picture was handed over, or the stream began
        self._units = self._keys = 0  # pictures received, and key frames of them, since then
        self._bytes = 0  # of media, since then
        self._pictures = self._late = 0
        self._shown_pts: int | None = None
        self._shown_mono = -math.inf
        self._end: SourceError | None = None
        self._damaged = 0
        self.decoded = 0
        self._waited_s = 0.0
        self._disorder = self._waits = False

    @property
    def damaged(self) -> int:
        """Pictures of which packets were lost, and stretches of stray bytes between the packets."""
        return self._damaged + self._session.skips

    @property
    def notes(self) -> tuple[str, ...]:
        """What the camera does unusually, and which way round it was taken."""
        found = {
            "junk between packets skipped": self._session.skips > 0,
            f"no key frame for {self._waited_s:.0f} s: shorten the camera's key frame interval": self._waited_s > 0.0,
            "B-frames: pictures come late, switch them off in the camera": self._reordered(),
            "stamps out of order: pictures left out": self._disorder,
        }
        return (*self._session.notes, *(text for text, holds in found.items() if holds))

    @property
    def skipped(self) -> int:
        return self._waiting.skipped + self._late

    @property
    def keyframes_only(self) -> bool:
        """Whether only key frames are decoded now."""
        return self._waiting.sparing

    @property
    def interval_s(self) -> float:
        """Seconds between pictures as the camera declares, else 1/25."""
        return 1.0 / (self._video.fps or _DEFAULT_FPS)

    def stamp_s(self, frame: VideoFrame) -> float | None:
        """The picture's time stamp in seconds of the stream; None without one."""
        return frame.pts / self._video.clock_rate if frame.pts is not None else None

    def open(self) -> None:
        """Connect, authenticate and play."""
        self._video: Video = self._session.open()
        self._heard_mono = self._picture_mono = self._clock.mono()
        self._receiver = Receiver(payload_type=self._video.payload_type)
        self._assembler = Assembler(PAYLOADS[self._video.codec]())
        self._unit_tap = unit_tap(self._video, self._tap)
        self._waiting = DecodeQueue(
            clock_rate=self._video.clock_rate,
            keyframes_only=self._keyframes_only,
            longest_s=min(_LONGEST_KEY_S, self._timeout_s / 2),
        )
        try:
            self._decoder = Decoder(
                codec=self._video.codec,
                parameter_sets=self._video.parameter_sets,
                clock_rate=self._video.clock_rate,
            )
        except ValueError:
            self.close()
            raise not_understood("no decoder for its video codec", shown=self._shown) from None

    def read(self) -> tuple[VideoFrame, float]:
        """The next picture and when it was taken, monotonic s: never before the one handed over last.

        Late ones are left out while newer ones wait. WaitingError where data comes without a picture.
        """
        # Where the last read waited in vain, silence counts on from there.
        started = self._heard_mono if self._waits else self._clock.mono()
        deadline, graced, left_out = started + self._timeout_s, False, math.inf
        if self._frames or len(self._waiting):  # otherwise `_wait` reads what is there
            self._drain()
        while True:
            while self._frames:
                frame, mono = self._frames.popleft()
                if self._wanted(frame, left_out):
                    self._hand_over(frame)
                    self._shown_mono = max(self._shown_mono, mono)
                    return frame, self._shown_mono
                self._late += 1
                left_out = min(left_out, self._clock.mono())
            if self._clock.mono() >= deadline:
                # Perhaps this process was stopped and not the camera: then its data is there.
                if graced or not self._news():
                    raise self._nothing()
                deadline, graced = self._clock.mono() + _GRACE_S, True
            if self._decode_next():
                if len(self._waiting) or self._clock.mono() - self._session.received_mono > _FRESH_S:
                    self._drain()
            elif self._end is not None:
                raise self._end
            else:
                self._wait(deadline)

    def close(self) -> None:
        self._session.close()
        self._frames.clear()

    def _hand_over(self, frame: VideoFrame) -> None:
        now = self._clock.mono()
        if self._waits:
            self._waited_s = max(self._waited_s, now - self._picture_mono)
        self._pictures += 1
        self._picture_mono, self._shown_pts = now, frame.pts
        self._units = self._keys = self._bytes = 0
        self._waits = False

    def _reordered(self) -> bool:
        decoder: Decoder | None = getattr(self, "_decoder", None)
        return decoder is not None and decoder.reordered

    def _in_order(self, frame: VideoFrame) -> bool:
        """Whether the picture comes after the one shown last; a decoder that does not know the order yet errs."""
        if frame.pts is None or self._shown_pts is None:
            return True
        back_s = (self._shown_pts - frame.pts) / self._video.clock_rate
        return not 0.0 <= back_s < _DISORDER_S

    def _wanted(self, frame: VideoFrame, left_out: float) -> bool:
        if not self._in_order(frame):
            self._disorder = True
            return False
        # If the machine never catches up, an old picture now and then is better than none.
        starving = self._clock.mono() - left_out > min(_STARVING_S, self._timeout_s / 2)
        return starving or frame.pts is None or not self._waiting.late(frame.pts)

    def _decode_next(self) -> bool:
        turn = self._waiting.take()
        if turn is None:
            return False
        if turn.fresh:
            self._decoder.forget()
        started = self._clock.mono()
        frames = self._decoder.decode(turn.unit, alone=turn.alone)
        self.decoded += len(frames)
        self._frames.extend(entry for entry in frames if not (turn.seen and entry[0].pts == turn.unit.timestamp))
        self._waiting.spent(self._clock.mono() - started)
        if self._decoder.bad >= _BAD_UNITS:
            raise SourceError(
                f"{self._shown}: {self._decoder.bad} pictures in a row cannot be decoded; the stream is damaged"
            )
        return True

    def _drain(self) -> None:
        """Read what is there; an error is raised after the pictures before it."""
        for _ in range(_GULPS):
            if self._end is not None or self._session.silent():
                return
            try:
                self._receive(None)
            except SourceError as exc:
                self._end = exc

    def _news(self) -> bool:
        """Whether data waits to be decoded or read."""
        heard = self._heard_mono
        self._drain()
        return len(self._waiting) > 0 or self._heard_mono > heard

    def _wait(self, deadline: float) -> None:
        try:
            self._receive(deadline)
        except SourceError:
            if self._clock.mono() < deadline:
                raise

    def _receive(self, deadline: float | None) -> None:
        packets = self._session.receive(deadline)
        mono, heard = self._session.received_mono, False
        for data in packets:
            self._bytes += len(data)
            packet = self._receiver.packet(data)
            if packet is None:
                continue
            heard = True
            for unit in self._assembler.push(packet, mono=mono):
                self._damaged += unit.damaged
                self._units += 1
                self._keys += unit.key
                self._waiting.put(unit)
                if self._unit_tap is not None:
                    self._unit_tap.put(unit)
        if heard:  # now, not when it was read: much data may wait long before it is parsed
            self._heard_mono = self._clock.mono()

    def _nothing(self) -> SourceError:
        """Why no picture came in time: the camera was silent, or spoke without one."""
        now = self._clock.mono()
        share = _SILENT if self._waits or not self._pictures else _SILENT_ONLINE
        if now - self._heard_mono >= share * self._timeout_s:
            return self._session.timed_out()
        waited_s = now - self._picture_mono
        if self._units and self._keys < _KEYS_ENOUGH and waited_s < WAITING_S:
            self._waits, self._waited_s = True, max(self._waited_s, waited_s)
            return WaitingError("waiting for the camera's key frame: data comes, the connection is kept")
        what = (
            f"data comes, but no picture within {round(waited_s) if waited_s > WAITING_S else self._timeout_s:g} s; shorten the camera's key frame "
            "interval"
        )
        if self._pictures or self._bytes > _FLOOD_BYTES:
            return SourceError(f"{self._shown}: {what}")
        return not_understood(what, shown=self._shown)
