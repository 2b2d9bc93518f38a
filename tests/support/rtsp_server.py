"""A real RTSP server for tests: GStreamer's, in a child process of the system's Python.

    with RtspServer(user="cam", password="p@ss") as server:
        server.url        # rtsp://127.0.0.1:PORT/live, credentials in it
        server.stall()    # sockets stay open, nothing comes any more
        server.resume()
        server.resize(640, 360)
        server.kill()     # gone, mid-stream
        server.start()    # back, on the same port

Each picture carries the moment it was made (see `stamped`). The child's protocol: it prints its
port; "resize W H" on its standard input changes the picture's size; it ends with its standard input.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from typing_extensions import Self

_PYTHON = Path("/usr/bin/python3")  # GStreamer's bindings are the distribution's, for its own Python
_START_S = 20.0


@functools.cache
def why_not() -> str | None:
    """Why the server cannot run here, None if it can."""
    if not _PYTHON.exists():
        return f"needs {_PYTHON}"
    probe = (
        "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('Gst', '1.0');"
        "from gi.repository import Gst; Gst.init(None);"
        "import sys; sys.exit(any(Gst.ElementFactory.find(n) is None for n in ('x264enc', 'rtph264pay', 'h264parse')))"
    )
    done = subprocess.run([_PYTHON, "-c", probe], capture_output=True, check=False, timeout=30)
    return None if done.returncode == 0 else "needs gst-rtsp-server and x264enc (gir1.2-gst-rtsp-server-1.0)"


class RtspServer:
    """Runs the child; `path` is /live, with a user and password where given."""

    def __init__(
        self,
        *,
        width: int = 320,
        height: int = 240,
        fps: int = 25,
        user: str | None = None,
        password: str = "",
        b_frames: int = 0,
        udp_only: bool = False,
    ) -> None:
        self._udp_only = udp_only
        self._size, self._fps, self._b_frames = (width, height), fps, b_frames
        self._user, self._password = user, password
        self._child: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        info = f"{quote(self._user, safe='')}:{quote(self._password, safe='')}@" if self._user else ""
        return self.url_without_credentials.replace("//", f"//{info}", 1)

    @property
    def url_without_credentials(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start, or start again on the port of the last time."""
        width, height = self._size
        # The server writes GStreamer's registry and notes: none of that is the test's.
        self._child = subprocess.Popen(
            [
                str(_PYTHON),
                str(Path(__file__).resolve()),
                *("--port", str(self.port), "--size", str(width), str(height), "--fps", str(self._fps)),
                *("--b-frames", str(self._b_frames)),
                *(("--udp-only",) if self._udp_only else ()),
                *(("--user", self._user, "--password", self._password) if self._user else ()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._child.stdout is not None
        ready, _, _ = select.select([self._child.stdout], [], [], _START_S)
        line = self._child.stdout.readline() if ready else ""
        if not line.strip().isdigit():
            self.kill()
            raise RuntimeError(f"the RTSP server did not start: {line!r}")
        self.port = int(line)

    def stall(self) -> None:
        """Stand still, as a hung camera does: its kernel still holds the connection."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the pictures in mid-stream."""
        child = self._running()
        assert child.stdin is not None
        print("resize", width, height, file=child.stdin, flush=True)

    def kill(self) -> None:
        """End at once; the system closes the sockets. Does nothing the second time."""
        child, self._child = self._child, None
        if child is not None:
            with child:
                child.kill()

    def _running(self) -> subprocess.Popen[str]:
        if self._child is None:
            raise RuntimeError("the RTSP server is not running")
        return self._child


def _serve(options: argparse.Namespace) -> None:
    # By name: these exist for the system's Python, not for the one that checks types. This file's
    # folder is where a script's own imports are looked for.
    gi, stamped = importlib.import_module("gi"), importlib.import_module("stamped")
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    names = ("GLib", "Gst", "GstRtspServer", "GstRtsp")
    glib, gst, rtsp, rtsp_types = (importlib.import_module(f"gi.repository.{name}") for name in names)

    gst.init(None)
    sources: list[Any] = []
    size = list(options.size)

    def caps() -> Any:
        return gst.Caps.from_string(
            f"video/x-raw,format=GRAY8,width={size[0]},height={size[1]},framerate={options.fps}/1"
        )

    def configure(_factory: Any, media: Any) -> None:
        source = media.get_element().get_by_name("pictures")
        source.set_property("caps", caps())
        sources.append(source)
        media.connect("unprepared", lambda _media: sources.remove(source))

    def push() -> bool:
        # GStreamer wants lines of a multiple of four bytes; the tests' widths are.
        picture = stamped.bars(size[0], size[1], stamped.now_ms())
        for source in sources:
            source.emit("push-buffer", gst.Buffer.new_wrapped(picture))
        return True

    def command(stream: Any, condition: Any) -> bool:
        words = sys.stdin.readline().split()
        if not words:
            loop.quit()
            return False
        size[:] = [int(word) for word in words[1:]]
        for source in sources:
            source.set_property("caps", caps())
        return True

    factory = rtsp.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_protocols(rtsp_types.RTSPLowerTrans.UDP if options.udp_only else factory.get_protocols())
    coding = f"bframes={options.b_frames}" if options.b_frames else "tune=zerolatency"
    factory.set_launch(
        "( appsrc name=pictures is-live=true format=time do-timestamp=true ! videoconvert ! video/x-raw,format=I420 "
        f"! x264enc {coding} speed-preset=ultrafast key-int-max={options.fps} bitrate=1500 "
        "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )
    factory.connect("media-configure", configure)
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    if options.user:
        _protect(rtsp, gst, server, factory, options)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        raise SystemExit("cannot bind")
    glib.timeout_add(1000 // options.fps, push)
    glib.io_add_watch(sys.stdin, glib.PRIORITY_DEFAULT, glib.IO_IN | glib.IO_HUP, command)
    loop = glib.MainLoop()
    print(server.get_bound_port(), flush=True)
    loop.run()


def _protect(rtsp: Any, gst: Any, server: Any, factory: Any, options: argparse.Namespace) -> None:
    """Basic authentication; without it, the user "anonymous" sees that the stream is there, and no more."""
    auth = rtsp.RTSPAuth()
    token = rtsp.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(rtsp.RTSPAuth.make_basic(options.user, options.password), token)
    server.set_auth(auth)
    access = gst.Structure.new_from_string(
        "viewer, media.factory.access=(bool)true, media.factory.construct=(bool)true"
    )
    permissions = rtsp.RTSPPermissions()
    permissions.add_role_from_structure(access)
    factory.set_permissions(permissions)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240))
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--b-frames", type=int, default=0)
    parser.add_argument("--udp-only", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    _serve(parser.parse_args())


if __name__ == "__main__":
    main()
