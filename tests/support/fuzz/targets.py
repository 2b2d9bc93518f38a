"""What a fuzzer gives bytes to: each takes any, and raises only where the product has a fault."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from detector.capture.auth import Credentials, challenges
from detector.capture.mjpeg.splitter import JpegSplitter
from detector.capture.rtsp.access_units import Assembler
from detector.capture.rtsp.framing import Framing, Interleaved
from detector.capture.rtsp.h264 import H264
from detector.capture.rtsp.h265 import H265
from detector.capture.rtsp.nal import Depacketizer
from detector.capture.rtsp.rtp import Receiver
from detector.capture.rtsp.sdp import parse as parse_description
from detector.config import document as config_file
from detector.config import remote
from detector.core.errors import ConfigError, InferenceError
from detector.core.redact import redact
from detector.inference.decode import make_decoder
from detector.inference.layout import Layout, anchors
from detector.mqtt.broker import packets
from detector.mqtt.broker.packets import LevelError, MalformedError, PacketKind

FuzzTarget = Callable[[bytes], None]
SIDE = 32
MAX_HELD = 1 << 20
PAYLOAD_TYPE = 96
_CELLS = anchors(SIDE, SIDE)
_LAYOUTS: tuple[tuple[Layout, tuple[tuple[int, ...], ...]], ...] = (
    (Layout(kind="end-to-end", width=SIDE, height=SIDE), ((1, 5, 6),)),
    (Layout(kind="dense", width=SIDE, height=SIDE, classes=2, person=1), ((1, 6, _CELLS),)),
    (Layout(kind="yolox-grid", width=SIDE, height=SIDE, classes=2), ((1, _CELLS, 7),)),
    (Layout(kind="yolox-nms", width=SIDE, height=SIDE, boxes=0, labels=1), ((1, 5, 5), (1, 5))),
    (
        Layout(kind="yolox-boxes", width=SIDE, height=SIDE, classes=2, boxes=0, scores=1, iou=0.5),
        ((1, _CELLS, 4), (1, 2, _CELLS)),
    ),
    (Layout(kind="rows", width=SIDE, height=SIDE, classes=2, rows=6, suppress=True), ((1, 6, 6),)),
    (Layout(kind="rows-objectness", width=SIDE, height=SIDE, classes=2, rows=6, suppress=True), ((1, 6, 7),)),
)
_FLOOR = 0.25


def config(data: bytes) -> None:
    """A configuration file, and the same as sent to the API."""
    redact._known, redact._patterns = frozenset(), ()  # it would learn the secrets of every input
    with contextlib.suppress(ConfigError):
        document = config_file.parse(data.decode("utf-8", "replace"))
        config_file.validate(document, {})
        remote.accepted(document, {"cameras": {"a": {"source": "usb://0"}}})


def decoder(data: bytes) -> None:
    """A model's output numbers: the first byte chooses the layout, the rest are its float32, over and over."""
    layout, shapes = _LAYOUTS[data[0] % len(_LAYOUTS) if data else 0]
    outputs, at = [], 0
    values = np.frombuffer((data[1:] + bytes(4))[: max(4, (len(data) - 1) // 4 * 4)], np.float32)
    for shape in shapes:
        outputs.append(_filled(values, at, shape))
        at += outputs[-1].size
    with contextlib.suppress(InferenceError), np.errstate(all="ignore"):
        boxes, scores = make_decoder(layout)(outputs, _FLOOR)
        assert np.isfinite(boxes).all()
        assert boxes.shape == (len(scores), 4)
        assert len(scores) <= 300
        assert ((scores >= _FLOOR) & (scores <= 1.01)).all()


def _filled(values: NDArray[np.float32], at: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.resize(np.roll(values, -at), shape)


def rtsp(data: bytes) -> None:
    """A camera's side of the connection, in reads of the first byte's size; answers' bodies as descriptions."""
    in_reads(data[1:], size=data[0] + 1 if data else 1)


def in_reads(data: bytes, *, size: int) -> None:
    """A connection's bytes, in reads of `size`: little is held, and packets are packets."""
    framing = Framing()
    framing.expect(channel=0, payload_type=PAYLOAD_TYPE)
    with contextlib.suppress(ValueError):
        for at in range(0, len(data), size):
            framing.add(data[at : at + size])
            for item in framing.items():
                assert not isinstance(item, Interleaved) or item.data[0] >> 6 == 2
            assert framing.held < MAX_HELD


def sdp(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        video = parse_description(data.decode("utf-8", "replace"))
        assert video.clock_rate > 0
        assert video.fps is None or 0.0 < video.fps < 1000.0


def login(data: bytes) -> None:
    """WWW-Authenticate headers, a line each."""
    credentials = Credentials(user='ca"m', password="p:w")
    for _ in range(4):
        if not credentials.choose(challenges(data.decode("utf-8", "replace").splitlines())):
            break
        header = credentials.header("PLAY", "rtsp://h/x")
        assert header is not None
        assert header.startswith(("Basic ", "Digest "))
        assert not set("\r\n") & set(header)


def _packets(data: bytes) -> list[bytes]:
    """Pieces of two bytes' length each."""
    found, at = [], 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "big") % 2048
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def _rtp(data: bytes, depacketizer: Depacketizer) -> None:
    receiver, assembler, taken = Receiver(payload_type=PAYLOAD_TYPE), Assembler(depacketizer), 0
    for mono, piece in enumerate(_packets(data)):
        packet = receiver.packet(piece)
        if packet is not None:
            for unit in assembler.push(packet, mono=float(mono)):
                taken += len(unit.data)
                assert unit.data.startswith(b"\x00\x00\x00\x01")
    assert taken <= 8 * len(data) + 64


def h264(data: bytes) -> None:
    _rtp(data, H264())


def h265(data: bytes) -> None:
    _rtp(data, H265())


def mjpeg(data: bytes) -> None:
    """An HTTP camera's body, in reads of the first byte's size: the pictures are pieces of it, in order."""
    splitter, size, left = JpegSplitter(), data[0] + 1 if data else 1, data[1:]
    for at in range(1, len(data), size):
        for picture in splitter.feed(data[at : at + size]):
            assert picture.startswith(b"\xff\xd8")
            _, found, left = left.partition(picture)
            assert found


_READERS = {
    PacketKind.CONNECT: packets.connect_of,
    PacketKind.PUBLISH: packets.publish_of,
    PacketKind.SUBSCRIBE: packets.subscribe_of,
    PacketKind.UNSUBSCRIBE: packets.unsubscribe_of,
    PacketKind.PUBACK: packets.mid_of,
}


def mqtt(data: bytes) -> None:
    """A client's stream to the embedded broker; a message that is read comes out of its own bytes again."""
    buffer = bytearray(data)
    with contextlib.suppress(MalformedError, LevelError):
        while (packet := packets.cut(buffer, 1 << 16)) is not None:
            read = _READERS.get(packet.kind)
            found = read(packet) if read else None
            if isinstance(found, packets.Publish):
                again = bytearray(packets.publish(found.message, mid=found.mid, duplicate=found.duplicate))
                cut = packets.cut(again, 1 << 17)
                assert cut is not None
                assert packets.publish_of(cut) == found
