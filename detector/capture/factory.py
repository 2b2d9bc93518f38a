"""Makes the source that reads a configured camera."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from detector.core.clock import SYSTEM_CLOCK, Clock

from .packets import PacketTap
from .source import Source

if TYPE_CHECKING:
    from detector.config.schema import Camera

_FILE_URL = "file://"


def make_source(
    camera: Camera,
    *,
    stop: threading.Event,
    keyframes_only: Callable[[], bool] = lambda: False,
    tap: PacketTap | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Source:
    """A closed source for `camera`; files are read in real time, like a camera.

    A file's waits end when `stop` is set. `keyframes_only` is used by RTSP cameras only. `tap` gets
    the coded pictures as they come, of network cameras and files: others give none. The libraries are imported
    here, only those that the kind of camera needs.
    """
    source, kind = camera.source.get_secret_value().strip(), camera.kind
    if kind == "file":
        return file_source(source, paced=True, loop=camera.loop, stop=stop, tap=tap, clock=clock)
    if kind == "v4l2":
        from .device import DeviceSource

        return DeviceSource(source=source, timeout_s=camera.timeout_s)
    if kind in ("csi", "gstreamer"):
        from .gstreamer import GStreamerSource

        return GStreamerSource(source=source, timeout_s=camera.timeout_s)
    if source.lower().startswith(("rtsp://", "rtsps://")):
        if camera.transport == "udp":
            from .network import NetworkSource

            return NetworkSource(url=source, timeout_s=camera.timeout_s, transport="udp", tap=tap, clock=clock)
        from .rtsp.source import RtspSource

        return RtspSource(url=source, timeout_s=camera.timeout_s, keyframes_only=keyframes_only, tap=tap, clock=clock)
    from .mjpeg.source import HttpSource

    return HttpSource(
        url=source, timeout_s=camera.timeout_s, poll_fps=camera.detect_fps, stop=stop, tap=tap, clock=clock
    )


def file_source(
    path: str | Path,
    *,
    paced: bool = False,
    loop: bool = False,
    stop: threading.Event | None = None,
    tap: PacketTap | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Source:
    """A closed source for the file `path` (or file://...); as fast as it can be read unless `paced`."""
    from .file import FileSource

    text = str(path)
    plain = Path(unquote(text.removeprefix(_FILE_URL))) if text.startswith(_FILE_URL) else Path(path)
    return FileSource(path=plain.expanduser(), paced=paced, loop=loop, stop=stop, tap=tap, clock=clock)
