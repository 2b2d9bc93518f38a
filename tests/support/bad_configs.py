"""Configurations with one thing wrong: a wrong value at a key that exists, or a key that does not."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from typing import Any

KeyPath = tuple[str, ...]
WHOLE: dict[str, Any] = {
    "device": {"id": "porch-1"},
    "model": {"precision": "auto", "threads": 1, "probe": False},
    "cameras": {
        "porch": {
            "source": "a.mp4",
            "detect_fps": 5,
            "timeout_s": 5.0,
            "loop": True,
            "zones": {"road": [[0, 0], [1, 0], [1, 1]]},
            "motion": {"enabled": True, "min_area": 0.001},
            "alert": {"min_score": 0.6, "cooldown_s": 30, "zones": ["road"]},
        },
        "gate": {"source": "rtsp://cam:pw-pw@10.0.0.4/s", "transport": "tcp"},
    },
    "alarm": {"initial": "armed_away", "entry_delay_s": 10},
    "mqtt": {"broker": "mqtt://10.0.0.2", "username": "ha", "password": "pw-pw", "topic_prefix": "detector"},
    "api": {"port": 8080, "host": "127.0.0.1", "token": "0123456789"},
    "history": {"keep_days": 14},
    "log": {"format": "text"},
}
_WRONG: tuple[Any, ...] = (
    None, [], {}, [[1]], {"x": 1}, "", " ", "\0", "a\nb", "x" * 3000, -1, 0, 1e308, 1 << 70, math.nan, math.inf, True, "${",
    "${NONE_SUCH}", "***", "rtsp://", "gst:", "usb://x", "mqtt://", "http://[", [1, None], {"": {}}, object(),
)  # fmt: skip


def paths(document: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Each key of the document, sections too."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield (*path, key)
            yield from paths(value, (*path, key))


def changed(base: dict[str, Any], chance: random.Random) -> tuple[dict[str, Any], KeyPath]:
    """`base` with a fault that may be one, and where."""
    document = copy.deepcopy(base)
    path = chance.choice(list(paths(document)))
    section = document
    for key in path[:-1]:
        section = section[key]
    kind = chance.random()
    if kind < 0.2 and isinstance(section[path[-1]], dict):
        path = (*path, _misspelt(chance.choice(list(section[path[-1]] or ["k"])), chance))
        section[path[-2]][path[-1]] = 1
    elif kind < 0.3:
        path = (*path[:-1], _misspelt(path[-1], chance))
        section[path[-1]] = chance.choice(_WRONG[:-1])
    else:
        section[path[-1]] = chance.choice(_WRONG)
    return document, path


def _misspelt(key: str, chance: random.Random) -> str:
    at = chance.randrange(len(key) + 1)
    return key[:at] + chance.choice("abz_9 ") + key[at:]
