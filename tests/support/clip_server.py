"""A camera for tests: a real RTSP server that plays an H.264 or H.265 file in real time, round and round."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PYTHON = "/usr/bin/python3"  # Debian's: it has GStreamer's bindings


class ClipServer:
    """`url` plays `clip`; `kill` and `start` as often as wanted, on the same port."""

    def __init__(self, clip: Path, *, credentials: tuple[str, str] | None = None, codec: str = "h264") -> None:
        from support.mosquitto import free_port  # not where GStreamer's Python runs this file

        self.port = free_port()
        self._clip, self._credentials, self._codec = clip, credentials, codec
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        login = "{}:{}@".format(*self._credentials) if self._credentials else ""
        return f"rtsp://{login}127.0.0.1:{self.port}/clip"

    def start(self) -> None:
        login = list(self._credentials or ())
        command = [PYTHON, __file__, str(self.port), str(self._clip), self._codec, *login]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def pause(self) -> None:
        """The camera hangs: its socket stays open, nothing comes."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def __enter__(self) -> ClipServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def main(port: str, clip: str, codec: str, *login: str) -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(
        f'( filesrc location="{clip}" ! qtdemux ! {codec}parse ! rtp{codec}pay name=pay0 pt=96 config-interval=-1 )'
    )
    factory.set_shared(False)
    if login:
        auth = GstRtspServer.RTSPAuth.new()
        token = GstRtspServer.RTSPToken.new()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
        basic = GstRtspServer.RTSPAuth.make_basic(*login)
        auth.add_basic(basic, token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions.new()
        permissions.add_permission_for_role("user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
        permissions.add_permission_for_role("user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/clip", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
