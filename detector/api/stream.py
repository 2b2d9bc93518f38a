"""Live pictures as multipart/x-mixed-replace (motion JPEG): new frames only, and only as fast as the viewer reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .pictures import MAX_FPS, LivePicture
from .respond import fault

MAX_STREAMS = 8
_BOUNDARY = "detector-frame"


class Streams:
    """Counts the open streams and ends them when the server stops. Used on the event loop only."""

    def __init__(self, *, limit: int = MAX_STREAMS) -> None:
        self.limit = limit
        self.open = 0
        self.closing = False

    def close(self) -> None:
        """Have every stream end when it next checks for a picture."""
        self.closing = True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _part(picture: LivePicture) -> bytes:
    head = (
        f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\nX-Frame-Seq: {picture.seq}\r\n\r\n"
    ).encode()
    # The boundary follows at once: a browser shows a part only when it has seen the part's end.
    return head + picture.jpeg + f"\r\n--{_BOUNDARY}\r\n".encode()


class MjpegResponse(Response):
    """Sends what `latest` gives whenever its number changes, until the viewer or the server goes.

    `latest` runs on a worker thread. A viewer that stops reading stops only its own stream: the
    server's write deadline ends it (`server.Connection`).
    """

    media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"

    def __init__(self, latest: Callable[[], LivePicture | None], streams: Streams) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._latest = latest
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.open >= self._streams.limit:
            full = fault(503, f"{self._streams.limit} live streams are open: close one", headers={"Retry-After": "5"})
            await full(scope, receive, send)
            return
        self._streams.open += 1
        gone = asyncio.create_task(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_parts(gone, send)
        finally:
            self._streams.open -= 1
            gone.cancel()

    async def _send_parts(self, gone: asyncio.Task[None], send: Send) -> None:
        await send({"type": "http.response.body", "body": f"--{_BOUNDARY}\r\n".encode(), "more_body": True})
        shown: int | None = None
        while not (gone.done() or self._streams.closing):
            picture = await run_in_threadpool(self._latest)
            if picture is not None and picture.seq != shown:
                shown = picture.seq
                await send({"type": "http.response.body", "body": _part(picture), "more_body": True})
            await asyncio.wait({gone}, timeout=1 / MAX_FPS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
