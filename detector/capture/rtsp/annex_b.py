"""The format of an H.264 or H.265 stream in byte stream form, out of its own parameter sets."""

from __future__ import annotations

from detector.capture.packets import TICKS, PacketTap, StreamFormat
from detector.capture.picture_size import Size, h264_size, h265_size

from .access_units import AccessUnit
from .h264 import H264
from .h265 import H265
from .nal import START

_H264_SPS, _H265_SPS = 7, 33


class AnnexBFormat:
    """Follows a stream's parameter sets; `codec` is h264 or hevc, `sets` are those known before, without start codes."""

    def __init__(self, codec: str, sets: tuple[bytes, ...] = ()) -> None:
        self._codec, self._h264 = codec, codec == "h264"
        self._sets: dict[int, list[bytes]] = {}
        self._format: StreamFormat | None = None
        self._seen = b""
        self._take(list(sets))

    def update(self, parameters: bytes) -> StreamFormat | None:
        """The format from the picture on that brought `parameters` (with start codes); None while it is unknown."""
        if parameters and parameters != self._seen:
            self._seen = parameters
            self._take([unit for unit in parameters.split(START) if unit])
        return self._format

    def _take(self, units: list[bytes]) -> None:
        fresh: dict[int, list[bytes]] = {}
        for unit in units:
            kind = H264.type_of(unit) if self._h264 else H265.type_of(unit)
            fresh.setdefault(kind, []).append(unit)
        self._sets |= fresh
        size = self._size()
        if size is None:
            return
        ordered = [unit for kind in sorted(self._sets) for unit in self._sets[kind]]  # VPS, SPS, PPS, or SPS, PPS
        extradata = b"".join(START + unit for unit in ordered)
        self._format = StreamFormat(codec=self._codec, extradata=extradata, width=size[0], height=size[1])

    def _size(self) -> Size | None:
        found = self._sets.get(_H264_SPS if self._h264 else _H265_SPS)
        if not found:
            return None
        try:
            return h264_size(found[0]) if self._h264 else h265_size(found[0])
        except ValueError:
            return None


class UnitTap:
    """Hands an RTSP connection's access units to `tap`; `clock_rate`: ticks a second of their stamps."""

    def __init__(self, tap: PacketTap, *, codec: str, sets: tuple[bytes, ...], clock_rate: int) -> None:
        self._tap, self._clock_rate = tap, clock_rate
        self._format = AnnexBFormat(codec, sets)
        tap.begin()

    def put(self, unit: AccessUnit) -> None:
        form = self._format.update(unit.parameters)
        if form is not None:
            pts = unit.timestamp * TICKS // self._clock_rate
            self._tap.put(form, unit.data, pts=pts, mono=unit.mono, key=unit.key)
