"""An HTTP download that resumes where it stopped (RFC 9110, 14.2 Range and 13.1.5 If-Range)."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from detector import __version__
from detector.core.progress import Progress

from .errors import UnavailableError

CONNECT_S = 5.0
READ_S = 20.0
TRIES = 4
MAX_BYTES = 1 << 30  # where the size is not known beforehand: an archive
_CHUNK = 1 << 17
_PAUSE_S = 0.5


class _InterruptedError(Exception):
    """The transfer was interrupted; the part so far is kept."""


class _Http(http.client.HTTPConnection):
    """Connecting has its own, shorter time-out, so that an unreachable host is given up quickly."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_S)


class _Https(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(READ_S)


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Http, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Https, req, context=ssl.create_default_context())


def note_path(part: Path) -> Path:
    """The path of the note that says which download `part` belongs to."""
    return part.with_name(part.name + ".json")


def discard(part: Path) -> None:
    """Delete the partial download."""
    part.unlink(missing_ok=True)
    note_path(part).unlink(missing_ok=True)


def download(url: str, part: Path, *, size: int | None, progress: Progress) -> bool:
    """Download `url` to `part`; returns True if it resumed an earlier run's part.

    `size`: the exact number of bytes if known. Raises UnavailableError if the server cannot provide it, and keeps the
    part so far; OSError only if `part` cannot be written.
    """
    resumed = _offset(url, part) > 0
    for attempt in range(1, TRIES + 1):
        try:
            _transfer(url, part, size=size, progress=progress)
        except _InterruptedError as error:
            if attempt == TRIES:
                raise UnavailableError(f"{error}; run it again to resume the download") from None
            time.sleep(_PAUSE_S)
        else:
            break
    return resumed


def _note(part: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        note = json.loads(note_path(part).read_text(encoding="utf-8"))
        if isinstance(note, dict):
            return note
    return {}


def _offset(url: str, part: Path) -> int:
    """The number of bytes of `url` that are already there."""
    return part.stat().st_size if _note(part).get("url") == url and part.exists() else 0


def _transfer(url: str, part: Path, *, size: int | None, progress: Progress) -> None:
    offset = _offset(url, part)
    if size is not None and offset > size:
        discard(part)
        offset = 0
    if offset and offset == size:
        return
    response = _open(url, part, offset)
    if response is None:
        return
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            offset = 0  # the whole file: the server knows no ranges, or the file has changed
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdigit() else None
        if size is not None and total not in (None, size):
            raise UnavailableError(f"expected {size} bytes, the server offers {total}")
        note_path(part).write_text(json.dumps({"url": url, "validator": _validator(response)}), encoding="utf-8")
        _write(response, part, offset=offset, total=total, limit=size or MAX_BYTES, tell=(progress, url))


def _open(url: str, part: Path, offset: int) -> Any:
    """The server's response, or None if `part` is already complete."""
    headers = {"User-Agent": f"detector/{__version__}"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator := _note(part).get("validator"):
            headers["If-Range"] = validator
    opener = urllib.request.build_opener(_HttpHandler, _HttpsHandler)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the registry admits http(s) alone
    try:
        response = opener.open(request, timeout=CONNECT_S)
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error, part, offset)
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(_why(error)) from None
    begin = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if response.status == http.HTTPStatus.PARTIAL_CONTENT and (begin is None or int(begin[1]) != offset):
        response.close()
        discard(part)
        raise _InterruptedError("the server sent another part than was asked for")
    return response


def _refused(error: urllib.error.HTTPError, part: Path, offset: int) -> None:
    if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not offset:
        raise UnavailableError(f"the server answers {error.code} {error.reason}")
    if error.headers.get("Content-Range", "") != f"bytes */{offset}":
        discard(part)
        raise _InterruptedError("the file has changed on the server")


def _validator(response: http.client.HTTPResponse) -> str | None:
    """The value for If-Range: a strong entity tag, else the date."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _write(
    response: http.client.HTTPResponse,
    part: Path,
    *,
    offset: int,
    total: int | None,
    limit: int,
    tell: tuple[Progress, str],
) -> None:
    progress, what = tell
    done = offset
    with part.open("ab" if offset else "wb") as file:
        progress(done, total, what)
        while chunk := _read(response):
            done += len(chunk)
            if done > limit:
                raise UnavailableError(f"the server sends more than the expected {limit} bytes")
            file.write(chunk)
            progress(done, total, what)
    if total is not None and done < total:
        raise _InterruptedError(f"the connection ended after {done} of {total} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)  # what has come, at once: a stall then loses nothing
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(f"the transfer stopped: {_why(error)}") from None


def _why(error: Exception) -> str:
    """The reason in a few words."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, socket.gaierror):
        return "the host name is not known here"
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__
