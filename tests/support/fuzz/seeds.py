"""The corpus' beginnings, made of real things: python -m support.fuzz.seeds CORPUS."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np

from detector.core.types import Message
from detector.mqtt.broker import packets
from detector.mqtt.broker.packets import PacketKind
from support.fuzz.service_targets import TOPICS, _app
from support.http_camera import numbered_jpeg
from support.rtsp_video import CodedVideo, coded, interleaved

ROOT = Path(__file__).resolve().parents[3]
_COMMANDS = ("DISARM", "ARM_AWAY", '{"action": "DISARM", "code": "7391"}', "ON", "OFF", "600", "0", "RESTART", "online")
_LOGINS = (
    'Digest realm="a", nonce="b", qop="auth"\nBasic realm="c"',
    'Digest realm="a", nonce="b", algorithm=SHA-256, opaque="o"',
    'Digest nonce=,\nDigest nonce="1", qop="auth",',
)
_CONFIGS = ("detector/config/starter.yaml", "docker/config/detector.yaml")


def _rtp(video: CodedVideo) -> bytes:
    pieces = [packet for packets_ in video.packets(size=400) for packet in packets_]
    return b"".join(len(piece).to_bytes(2, "big") + piece for piece in pieces)


def _answer(*headers: str, body: str = "") -> bytes:
    return "\r\n".join(["RTSP/1.0 200 OK", "CSeq: 1", *headers, f"Content-Length: {len(body)}", "", body]).encode()


def _mqtt() -> list[bytes]:
    connect = b"\x10\x17\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x02ha\x00\x04pass"
    subscribe = bytes([PacketKind.SUBSCRIBE << 4 | 2, 8, 0, 1, 0, 3]) + b"a/#\x01"
    message = packets.publish(Message(topic="a/b", payload=b"{}", qos=1, retain=True), mid=7)
    return [connect, subscribe, message, connect + subscribe + message + b"\x40\x02\x00\x07\xc0\x00\xe0\x00"]


def _http() -> list[bytes]:
    routes = [route.encode() for route in _app().openapi()["paths"]]
    document = json.dumps({"cameras": {"porch": {"source": "rtsp://10.0.0.4/s"}}}).encode()
    put = b"\x01api/config\ncontent-type: application/json\n\n" + document
    alarm = b'\x02api/alarm\ncontent-type: application/json\norigin: http://127.0.0.1:8080\n\n{"command": "ARM_AWAY"}'
    odd = [b"\x00../../etc/passwd", b"\x00api/events?limit=-1&camera=porch", b"\x00page/%2e%2e%2fx\nx-api-key: a\n\n"]
    return [*(b"\0" + route.lstrip(b"/").replace(b"{camera}", b"porch") for route in routes), put, alarm, *odd]


def _config() -> list[bytes]:
    texts = [(ROOT / name).read_bytes() for name in _CONFIGS]
    keys = b"cameras:\n  a: &a\n    source: ${X}\n    zones: {z: [[0, 0], [1, 0], [1, 1]]}\n    alert: {min_score: .5}\n  b: *a\n"
    return [*(text[:4096] for text in texts), keys, b"x-a: &m {<<: [1]}\nmqtt: {broker: mqtts://h:8883}\n"]


def seeds() -> dict[str, list[bytes]]:
    """Inputs by target."""
    avc, hevc = (coded(codec, frames=4, gop=2, width=96, height=64) for codec in ("h264", "hevc"))
    first = [interleaved(packet) for packets_ in avc.packets(size=400) for packet in packets_][:3]
    described = _answer("Content-Type: application/sdp", body=avc.sdp())
    rng = np.random.default_rng(16)
    picture = numbered_jpeg(1, width=64, height=48)
    part = b"--x\r\nContent-Type: image/jpeg\r\n\r\n"
    return {
        "config": _config(),
        "decoder": [bytes([kind]) + rng.uniform(0, 1, 24).astype(np.float32).tobytes() for kind in range(7)],
        "rtsp": [b"\x3f" + described, b"\x07" + _answer("Session: 1;timeout=60") + b"".join(first)[:1500]],
        "sdp": [avc.sdp().encode(), hevc.sdp(extra="a=framerate:12.5").encode(), b"m=video 0 RTP/AVP 96\n"],
        "login": [text.encode() for text in _LOGINS],
        "h264": [_rtp(avc)[:3000]],
        "h265": [_rtp(hevc)[:3000]],
        "mjpeg": [b"\xff" + part + picture + part + picture[:200], b"\x10" + picture],
        "mqtt": _mqtt(),
        "command": [bytes([topic]) + word.encode() for topic in range(len(TOPICS)) for word in _COMMANDS],
        "http": _http(),
    }


def save(folder: Path, inputs: list[bytes]) -> None:
    """Each under the beginning of its SHA-256, so that the same input has one file."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (folder / sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    for name, inputs in seeds().items():
        save(Path(sys.argv[1]) / name, inputs)
