"""From a configured camera to the source that reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from .source import Source

if TYPE_CHECKING:
    from detector.config.schema import Camera

_FILE_URL = "file://"


def make_source(camera: Camera, *, stop: threading.Event, keyframes_only: Callable[[], bool] = lambda: False) -> Source:
    """A closed source for `camera`; files are paced, as a camera would send them.

    A file's pacing ends early when `stop` is set. `keyframes_only` is asked by RTSP cameras alone. The libraries are loaded here, for the kind asked for.
    """
    source, kind = camera.source.get_secret_value().strip(), camera.kind
    if kind == "file":
        return file_source(source, paced=True, loop=camera.loop, stop=stop)
    if kind == "v4l2":
        from .device import DeviceSource

        return DeviceSource(source=source, timeout_s=camera.timeout_s)
    if kind in ("csi", "gstreamer"):
        from .gstreamer import GStreamerSource

        return GStreamerSource(source=source, timeout_s=camera.timeout_s)
    if source.lower().startswith(("rtsp://", "rtsps://")):
        if camera.transport == "udp":
            from .network import NetworkSource

            return NetworkSource(url=source, timeout_s=camera.timeout_s, transport="udp")
        from .rtsp.source import RtspSource

        return RtspSource(url=source, timeout_s=camera.timeout_s, keyframes_only=keyframes_only)
    from .network import NetworkSource

    return NetworkSource(url=source, timeout_s=camera.timeout_s)


def file_source(
    path: str | Path, *, paced: bool = False, loop: bool = False, stop: threading.Event | None = None
) -> Source:
    """A closed source for the file `path`, also written file://...; as fast as it can be read unless `paced`."""
    from .file import FileSource

    text = str(path)
    plain = Path(unquote(text.removeprefix(_FILE_URL))) if text.startswith(_FILE_URL) else Path(path)
    return FileSource(path=plain.expanduser(), paced=paced, loop=loop, stop=stop)
