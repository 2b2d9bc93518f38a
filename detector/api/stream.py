"""Live pictures as multipart/x-mixed-replace (motion JPEG): new frames only, and only as fast as the viewer reads.

All viewers of one kind of picture (camera, size, boxes) share one `_Feed`, which looks for new pictures once for them all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable

from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .pictures import MAX_FPS, LivePicture
from .respond import fault

MAX_STREAMS = 32
_BOUNDARY = "detector-frame"
_log = logging.getLogger(__name__)


Latest = Callable[[], "LivePicture | None"]


class _Feed:
    """The newest part of one kind of picture; `changed` is set at each new one, and replaced by a fresh event then."""

    def __init__(self, latest: Latest) -> None:
        self._latest = latest
        self.viewers = 0
        self.shown: int | None = None
        self.part = b""
        self.ended = False
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Look for new pictures until it is cancelled, or one cannot be had: then its viewers' streams end."""
        try:
            while True:
                picture = await run_in_threadpool(self._latest)
                if picture is not None and picture.seq != self.shown:
                    self.shown, self.part = picture.seq, _part(picture)
                    self.wake()
                await asyncio.sleep(1 / MAX_FPS)
        finally:
            self.ended = True
            self.wake()

    def wake(self) -> None:
        """Have every viewer look."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Streams:
    """Counts the open streams and ends them when the server stops. Used on the event loop only."""

    def __init__(self, *, limit: int = MAX_STREAMS) -> None:
        self.limit = limit
        self.open = 0
        self.closing = False
        self._feeds: dict[Hashable, _Feed] = {}

    def close(self) -> None:
        """Have every stream end."""
        self.closing = True
        for feed in self._feeds.values():
            feed.wake()

    def join(self, kind: Hashable, latest: Latest) -> _Feed:
        """One more viewer of this kind of picture, which `latest` gives."""
        feed = self._feeds.get(kind)
        if feed is None:
            feed = self._feeds[kind] = _Feed(latest)
            feed.task = asyncio.create_task(feed.run())
        feed.viewers += 1
        self.open += 1
        return feed

    def leave(self, kind: Hashable) -> None:
        """One viewer less; nobody looks for pictures that nobody sees."""
        feed = self._feeds[kind]
        feed.viewers -= 1
        self.open -= 1
        if not feed.viewers:
            del self._feeds[kind]
            assert feed.task is not None
            if not feed.task.done():
                feed.task.cancel()
            elif not feed.task.cancelled() and (error := feed.task.exception()) is not None:
                _log.warning("live pictures ended: %s", error)


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
    """Sends each new picture of a `kind` that `latest` gives, until the viewer or the server goes.

    `latest` runs on a worker thread, once for all viewers of the kind. A viewer that stops reading stops only its own
    stream and misses pictures: the server's write deadline ends it (`server.Connection`).
    """

    media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"

    def __init__(self, kind: Hashable, latest: Latest, streams: Streams) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._kind, self._latest, self._streams = kind, latest, streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.open >= self._streams.limit:
            full = fault(503, f"{self._streams.limit} live streams are open: close one", headers={"Retry-After": "5"})
            await full(scope, receive, send)
            return
        feed = self._streams.join(self._kind, self._latest)
        gone = asyncio.create_task(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_parts(feed, gone, send)
        finally:
            self._streams.leave(self._kind)
            gone.cancel()

    async def _send_parts(self, feed: _Feed, gone: asyncio.Task[None], send: Send) -> None:
        await send({"type": "http.response.body", "body": f"--{_BOUNDARY}\r\n".encode(), "more_body": True})
        shown: int | None = None
        while not (gone.done() or feed.ended or self._streams.closing):
            changed = asyncio.ensure_future(feed.changed.wait())
            if feed.shown != shown:
                shown = feed.shown
                await send({"type": "http.response.body", "body": feed.part, "more_body": True})
            await asyncio.wait({gone, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
