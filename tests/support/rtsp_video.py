"""Coded pictures as a camera would send them: encoded on the fly, cut into RTP packets."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.codec.context import CodecContext, Flags
from av.video.frame import PictureType

from .stamped import bars

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

CLOCK = 90000
PAYLOAD_TYPE = 96
_START = re.compile(rb"\x00{2,3}\x01")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPicture:
    """The NAL units of one access unit in the order of decoding; `number` in the order of showing."""

    units: list[bytes]
    number: int
    key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedVideo:
    """`pictures` without parameter sets, which are `sets`; number i carries the bars of i (see `stamped`)."""

    codec: str
    fps: int
    sets: list[bytes]
    pictures: list[CodedPicture]

    def sdp(self, *, control: str = "track1", sprop: bool = True, extra: str = "") -> str:
        """The description that a camera gives of it; `extra` are lines of the video section."""
        coded = [base64.b64encode(unit).decode() for unit in self.sets]
        if self.codec == "h264":
            name, sets = "H264", f"packetization-mode=1;sprop-parameter-sets={','.join(coded)}"
        else:
            name = "H265"
            sets = ";".join(f"sprop-{key}={unit}" for key, unit in zip(("vps", "sps", "pps"), coded, strict=True))
        lines = [
            *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "t=0 0"),
            *("m=audio 0 RTP/AVP 8", "a=control:sound"),
            *(f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", f"a=rtpmap:{PAYLOAD_TYPE} {name}/{CLOCK}"),
            *([f"a=fmtp:{PAYLOAD_TYPE} {sets}"] if sprop else []),
            *([f"a=control:{control}"] if control else []),
            extra,
        ]
        return "\r\n".join(line for line in lines if line) + "\r\n"

    def stamp(self, picture: CodedPicture) -> int:
        return 4_294_900_000 + picture.number * CLOCK // self.fps  # wraps within the first pictures

    def packets(
        self, *, aggregate: bool = False, marker: str = "last", in_band: bool = False, size: int = 1200
    ) -> list[list[bytes]]:
        """Each picture's RTP packets. `marker`: on its "last", on "all" that end a unit, or "none"."""
        sequence, done = 65_530, []
        for picture in self.pictures:
            units = [*(self.sets if in_band and picture.key else []), *picture.units]
            payloads = list(self._payloads(units, aggregate, size))
            packets = []
            for i, (payload, ends) in enumerate(payloads):
                mark = {"last": i == len(payloads) - 1, "all": ends, "none": False}[marker]
                packets.append(rtp(payload, sequence=sequence, stamp=self.stamp(picture), marker=mark))
                sequence += 1
            done.append(packets)
        return done

    def _payloads(self, units: Iterable[bytes], aggregate: bool, size: int) -> Iterator[tuple[bytes, bool]]:
        if aggregate:
            units = list(units)
            small = [unit for unit in units if len(unit) < size]
            head = b"\x78" if self.codec == "h264" else b"\x60\x01"
            yield head + b"".join(struct.pack(">H", len(unit)) + unit for unit in small), len(small) == len(units)
            units = [unit for unit in units if len(unit) >= size]
        for unit in units:
            if len(unit) <= size:
                yield unit, True
                continue
            fragment = self._fragment_head(unit)
            cut = 1 if self.codec == "h264" else 2
            parts = [unit[i : i + size] for i in range(cut, len(unit), size)]
            for i, part in enumerate(parts):
                first, last = i == 0, i == len(parts) - 1
                yield fragment[:-1] + bytes((fragment[-1] | first << 7 | last << 6,)) + part, last

    def _fragment_head(self, unit: bytes) -> bytes:
        if self.codec == "h264":
            return bytes((unit[0] & 0xE0 | 28, unit[0] & 0x1F))
        return bytes((unit[0] & 0x81 | 49 << 1, unit[1], unit[0] >> 1 & 0x3F))


def rtp(payload: bytes, *, sequence: int, stamp: int, marker: bool, payload_type: int = PAYLOAD_TYPE) -> bytes:
    head = struct.pack(">BBHII", 0x80, marker << 7 | payload_type, sequence & 0xFFFF, stamp & 0xFFFFFFFF, 77)
    return head + payload


def interleaved(packet: bytes, channel: int = 0) -> bytes:
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def coded(
    codec: str = "h264",
    *,
    frames: int = 30,
    gop: int = 10,
    b_frames: int = 0,
    slices: int = 1,
    width: int = 320,
    height: int = 240,
    fps: int = 25,
) -> CodedVideo:
    """`frames` pictures, a key frame each `gop`; their noise keeps them from fitting into one packet."""
    pictures = [_frame(width, height, i) for i in range(frames)]
    return encoded(pictures, codec, gop=gop, b_frames=b_frames, slices=slices, fps=fps)


def encoded(
    frames: Sequence[av.VideoFrame],
    codec: str = "h264",
    *,
    gop: int = 10,
    b_frames: int = 0,
    slices: int = 1,
    fps: int = 25,
    keys_only: bool = False,
) -> CodedVideo:
    """`frames`, all of one size, a key frame each `gop`; with `keys_only` each is one, with the same parameter sets."""
    parameters = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:b-adapt=0:repeat-headers=0:"
    if codec == "h264":
        name, own = "libx264", f"x264-params={parameters}slices={slices}:force-cfr=1:b-pyramid=none"
    else:
        name, own = "libx265", f"x265-params={parameters}open-gop=0:log-level=none:pools=1:frame-threads=1:info=0"
    key, _, value = own.partition("=")
    context = cast("VideoCodecContext", CodecContext.create(name, "w"))
    context.width, context.height, context.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
    context.time_base, context.framerate, context.thread_count = Fraction(1, fps), Fraction(fps), 1
    context.flags |= Flags.global_header
    context.options = {"preset": "ultrafast", key: value, **({"forced-idr": "1"} if keys_only else {})}
    context.open()
    packets = []
    for number, frame in enumerate(frames):
        picture = frame.reformat(format="yuv420p")
        picture.pts = number
        picture.pict_type = PictureType.I if keys_only else PictureType.NONE
        packets += context.encode(picture)
    packets += context.encode(None)
    pictures, sets = [], _units(bytes(context.extradata or b""))
    for packet in packets:
        units = _units(bytes(packet))
        sets = sets or [unit for unit in units if _is_set(codec, unit)]
        units = [unit for unit in units if not _is_set(codec, unit)]
        pictures.append(CodedPicture(units=units, number=packet.pts or 0, key=packet.is_keyframe))
    return CodedVideo(codec=codec, fps=fps, sets=[unit for unit in sets if _is_set(codec, unit)], pictures=pictures)


def _frame(width: int, height: int, number: int) -> av.VideoFrame:
    picture = np.frombuffer(bars(width, height, number), np.uint8).reshape(height, width).copy()
    # Below the line that carries the stamp.
    noise = np.random.default_rng(number).integers(16, 235, (height // 4, width), np.uint8)
    picture[-noise.shape[0] :] = noise
    return av.VideoFrame.from_ndarray(picture, "gray")


def _units(data: bytes) -> list[bytes]:
    return [unit for unit in _START.split(data) if unit]


def _is_set(codec: str, unit: bytes) -> bool:
    return unit[0] & 0x1F in (7, 8) if codec == "h264" else unit[0] >> 1 & 0x3F in (32, 33, 34)
