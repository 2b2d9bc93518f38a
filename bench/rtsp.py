"""A camera for benches: serves coded pictures over RTSP in real time and writes down when each was released.

    with Camera(coded, folder / "released") as camera:
        camera.url; camera.released()

A child process, so that nobody's interpreter lock delays it. Each client gets the clip from its beginning, round
and round, at the clip's rate (RTP in RTSP's own TCP connection, RFC 2326 10.12; H.264 as RFC 6184 packs it). The
release is the instant at which the last byte of a picture's last packet was written to the socket; where a slow
reader has filled it, the instant at which a camera would have written them.
"""

from __future__ import annotations

import argparse
import base64
import pickle
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Self

    from .drawn import Coded

_MTU = 1400
_CLOCK = 90_000
_RECORD = struct.Struct("<IId")  # client, number, monotonic s
_SPS, _PPS, _FU_A = 7, 8, 28


class BenchCamera:
    """The child, at `port` (0: any free one)."""

    def __init__(self, coded: Coded, log: Path, *, port: int = 0) -> None:
        self._coded, self._log = coded, log
        self.port = port

    @property
    def url(self) -> str:
        return camera_url(self.port)

    def __enter__(self) -> Self:
        self._log.touch()
        clip = self._log.with_suffix(".clip")
        clip.write_bytes(pickle.dumps((self._coded.units, self._coded.fps)))
        command = [sys.executable, str(Path(__file__).resolve()), str(clip), str(self._log), str(self.port)]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
        assert self._child.stdout is not None
        said = self._child.stdout.readline()
        if not said:
            self.__exit__()
            raise OSError(f"no camera at port {self.port}: it is taken")
        self.port = int(said)
        return self

    def __exit__(self, *_: object) -> None:
        with self._child:
            self._child.kill()

    def released(self) -> list[tuple[int, int, float]]:
        """Client (from 0), picture's number in the clip, monotonic s; in order of time."""
        data = self._log.read_bytes()
        return list(_RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size]))


def camera_url(port: int) -> str:
    """Of the camera at `port`."""
    return f"rtsp://127.0.0.1:{port}/clip"


def nals(unit: bytes) -> list[bytes]:
    """The NAL units of an Annex B access unit."""
    return [part for part in re.split(rb"\x00\x00\x00\x01|\x00\x00\x01", unit) if part]


def packets(unit: bytes, *, sequence: int, stamp: int) -> Iterator[bytes]:
    """RTP packets of one access unit, framed for channel 0 of the RTSP connection."""
    payloads = [payload for nal in nals(unit) for payload in _split(nal)]
    for index, payload in enumerate(payloads):
        marker = 0x80 if index == len(payloads) - 1 else 0
        header = struct.pack(">BBHII", 0x80, marker | 96, (sequence + index) & 0xFFFF, stamp & 0xFFFFFFFF, 0x1234)
        yield struct.pack(">BBH", 0x24, 0, len(header) + len(payload)) + header + payload


def _split(nal: bytes) -> Iterator[bytes]:
    if len(nal) <= _MTU:
        yield nal
        return
    kind, rest = nal[0], nal[1:]
    for start in range(0, len(rest), _MTU):
        first, last = start == 0, start + _MTU >= len(rest)
        yield bytes(((kind & 0xE0) | _FU_A, first << 7 | last << 6 | kind & 0x1F)) + rest[start : start + _MTU]


class _RtspServer:
    def __init__(self, units: tuple[bytes, ...], fps: int, log: BinaryIO) -> None:
        self._units, self._fps, self._log = units, fps, log
        self._clients = 0
        self._lock = threading.Lock()

    def sdp(self) -> bytes:
        sets = [nal for nal in nals(self._units[0]) if nal[0] & 0x1F in (_SPS, _PPS)]
        sprop = ",".join(base64.b64encode(nal).decode() for nal in sets)
        lines = (
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=clip", "c=IN IP4 127.0.0.1", "t=0 0", "a=control:*",
            "m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", f"a=framerate:{self._fps}",
            f"a=fmtp:96 packetization-mode=1; profile-level-id={sets[0][1:4].hex()}; sprop-parameter-sets={sprop}",
            "a=control:track1",
        )  # fmt: skip
        return "".join(f"{line}\r\n" for line in lines).encode()

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lock, gone = threading.Lock(), threading.Event()
        # A client that is gone says so by a reset.
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            while (request := _request(lines)) is not None:
                verb, sequence = request
                with lock:
                    connection.sendall(self._answer(verb, sequence))
                if verb == "PLAY":
                    threading.Thread(target=self._play, args=(connection, lock, gone), daemon=True).start()
                if verb == "TEARDOWN":
                    break
        gone.set()

    def _answer(self, verb: str, sequence: str) -> bytes:
        extra, body = "", b""
        if verb == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n"
        elif verb == "DESCRIBE":
            body = self.sdp()
            extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif verb == "SETUP":
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        return f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1;timeout=60\r\n{extra}\r\n".encode() + body

    def _play(self, connection: socket.socket, lock: threading.Lock, gone: threading.Event) -> None:
        with self._lock:
            client, self._clients = self._clients, self._clients + 1
        count, sequence, begun, late = 0, 0, time.monotonic(), False
        while not gone.is_set():
            due = begun + count / self._fps
            time.sleep(max(0.0, due - time.monotonic()))
            number = count % len(self._units)
            framed = list(packets(self._units[number], sequence=sequence, stamp=count * _CLOCK // self._fps))
            data = b"".join(framed)
            try:
                with lock:
                    connection.sendall(data)
            except OSError:
                return
            written = time.monotonic()
            count, sequence = count + 1, sequence + len(framed)
            held_up = written > begun + count / self._fps  # by the reader: this picture or one before it
            self._log.write(_RECORD.pack(client, number, due if late or held_up else written))
            late = held_up


def _request(lines: BinaryIO) -> tuple[str, str] | None:
    """Verb and CSeq of the next request; the client's RTCP is passed over."""
    while (first := lines.read(1)) == b"$":
        _, length = struct.unpack(">BH", lines.read(3))
        lines.read(length)
    head = first + lines.readline()
    sequence = ""
    while (line := lines.readline()) not in (b"", b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "cseq":
            sequence = value.strip()
    return (head.split()[0].decode("latin-1"), sequence) if head.strip() else None


def main() -> None:
    parser = argparse.ArgumentParser(description="The child of Camera.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("port", type=int)
    chosen = parser.parse_args()
    units, fps = pickle.loads(chosen.clip.read_bytes())  # our parent wrote it
    with chosen.log.open("ab", buffering=0) as log, socket.create_server(("127.0.0.1", chosen.port)) as listener:
        server = _RtspServer(units, fps, log)  # unbuffered: a record is whole or not there
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=server.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
