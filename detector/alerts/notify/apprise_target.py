"""Phones, chats and mail through the Apprise library, imported here alone (the extra `notify`)."""

from __future__ import annotations

import logging
import tempfile
import warnings
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from detector.core.errors import ConfigError, one_line
from detector.core.redact import redact

from .notice import Notice, NotifyError

INSTALL = "notifications need the Apprise library: pip install detector[notify]"
_SHOWN = 160  # characters of a reason


_listener: ContextVar[object] = ContextVar("_listener", default=None)
"""Whose call it is. The library sends in a thread of its own, in a copy of the caller's context."""


class _Reasons(logging.Handler):
    """What the library says in one call, which is all that it tells of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if _listener.get() is self:
            self.lines.append(record.getMessage())


class AppriseTarget:
    """Raises ConfigError where the library is missing or does not know the address; `name` is for its messages."""

    def __init__(self, *, name: str, url: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the library's own affair: it loads many plug-ins
            self._load(name, url)

    def _load(self, name: str, url: str) -> None:
        try:
            import apprise
        except ImportError:
            raise ConfigError(INSTALL, key="notify") from None
        self._log = logging.getLogger("apprise")
        self._log.propagate = False  # its lines are kept as the reason of a failure, once for many tries
        # No plug-ins from the disk; nothing of it is stored there either.
        asset = apprise.AppriseAsset(app_id="detector", app_desc="detector", async_mode=False, secure_logging=True)
        self._library: Any = apprise
        self._apprise = apprise.Apprise(asset=asset)
        reasons = self._listening()
        try:
            known = self._apprise.add(url)
        finally:
            self._log.removeHandler(reasons)
        if not known:
            raise ConfigError(
                f"{name}: the Apprise library does not know this address: see its list of services", key="notify"
            )

    def send(self, notice: Notice) -> None:
        reasons = self._listening()
        try:
            with tempfile.TemporaryDirectory(prefix="detector-") as folder:  # its mode is 0700
                delivered = self._notify(notice, Path(folder))
        except Exception as error:  # whatever a service's plug-in raises
            raise NotifyError(f"failed: {redact(one_line(error, _SHOWN)) or type(error).__name__}") from None
        finally:
            self._log.removeHandler(reasons)
        if not delivered:
            why = one_line("; ".join(reasons.lines), _SHOWN) or "it was refused"
            raise NotifyError(redact(why))

    def _notify(self, notice: Notice, folder: Path) -> bool:
        attach = None
        if notice.picture is not None:
            file = folder / "snapshot.jpg"
            file.write_bytes(notice.picture)
            attach = str(file)
        return bool(
            self._apprise.notify(
                body=notice.text,
                title=notice.title,
                notify_type=self._library.NotifyType.WARNING,
                body_format=self._library.NotifyFormat.TEXT,
                attach=attach,
            )
        )

    def _listening(self) -> _Reasons:
        reasons = _Reasons()
        _listener.set(reasons)
        self._log.addHandler(reasons)
        return reasons
