"""Runs `detector` with faults built in: python crashing.py FOLDER run -c FILE.

`api` answers /api/status with an exception, `inference` and `watch` raise in the inference thread and in the main
thread once FOLDER/<name> exists. Each exception carries the whole configuration in clear, and has a cause that does.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import yaml

from detector.cli.app import main
from detector.service.control import ServiceControl
from detector.service.health import HealthMonitor
from detector.service.inference_loop import InferenceLoop


def crash(where: str) -> NoReturn:
    """Raise what holds every secret raw, as JSON, as repr, in percent-encoding and in its YAML."""
    text = Path(sys.argv[-1]).read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    strings = _strings(document)
    encoded = [quote(value, safe="") for value in strings]
    raise RuntimeError(f"crash in {where}:", *strings, json.dumps(document), encoded, document) from ValueError(text)


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for item in value.values() for found in _strings(item)]
    if isinstance(value, list):
        return [found for item in value for found in _strings(item)]
    return [value] if isinstance(value, str) else []


def _status(self: ServiceControl) -> dict[str, Any]:
    crash("api")


_turn = InferenceLoop._turn


def _inference(self: InferenceLoop, stop: threading.Event) -> None:
    if (_FOLDER / "inference").exists():
        crash("inference")
    _turn(self, stop)


_check = HealthMonitor.check


def _watch(self: HealthMonitor) -> bool:
    if (_FOLDER / "watch").exists():
        crash("watch")
    return _check(self)


if __name__ == "__main__":
    _FOLDER = Path(sys.argv.pop(1))
    ServiceControl.status = _status  # type: ignore[method-assign]
    InferenceLoop._turn = _inference  # type: ignore[method-assign]
    HealthMonitor.check = _watch  # type: ignore[method-assign]
    main()
