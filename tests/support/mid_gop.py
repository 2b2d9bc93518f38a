"""A scripted RTSP camera that is joined between two key frames, as "H.264+" cameras are for minutes."""

from __future__ import annotations

import time

from .rtsp_script import ScriptedConnection, greet
from .rtsp_video import CodedVideo, interleaved


class MidGop:
    """Sends pictures that need others before them for `wait_s` s, 25 a second, at most `pictures`; then `video`.

    `junk` goes between the pictures. `played` counts the connections.
    """

    def __init__(self, video: CodedVideo, *, wait_s: float, pictures: int = 1_000_000, junk: bytes = b"") -> None:
        self.video, self.wait_s, self.pictures, self.junk = video, wait_s, pictures, junk
        self.played = 0

    def __call__(self, connection: ScriptedConnection) -> None:
        connection.reply(greet(connection, self.video.sdp()))
        self.played += 1
        packets = self.video.packets()
        until, sequence, number = time.monotonic() + self.wait_s, 0, 0
        while time.monotonic() < until and number < self.pictures:
            picture = packets[1 + number % 9]
            sent = [self._stamped(packet, sequence + i, number) for i, packet in enumerate(picture)]
            connection.send(b"".join(map(interleaved, sent)) + self.junk)
            sequence, number = sequence + len(picture), number + 1
            time.sleep(0.04)
        if number < self.pictures:
            for picture in packets:
                connection.send(b"".join(map(interleaved, picture)) + self.junk)
                time.sleep(1.0 / self.video.fps)
        while True:
            connection.ask()

    @staticmethod
    def _stamped(packet: bytes, sequence: int, number: int) -> bytes:
        stamp = (4_294_900_000 - 90_000_000 + 3600 * number) & 0xFFFFFFFF
        return packet[:2] + (sequence & 0xFFFF).to_bytes(2, "big") + stamp.to_bytes(4, "big") + packet[8:]
