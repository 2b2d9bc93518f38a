"""The targets by name, which is also their folder in tests/faults/corpus."""

from __future__ import annotations

from . import service_targets, targets
from .targets import FuzzTarget

TARGETS: dict[str, FuzzTarget] = {
    "config": targets.config,
    "decoder": targets.decoder,
    "rtsp": targets.rtsp,
    "sdp": targets.sdp,
    "login": targets.login,
    "h264": targets.h264,
    "h265": targets.h265,
    "mjpeg": targets.mjpeg,
    "mqtt": targets.mqtt,
    "command": service_targets.command,
    "http": service_targets.http,
}
