"""The service, noting when its live picture became which picture of the bench's clip.

    python -m bench.seen NOTES run -c FILE

To ask for the live picture over HTTP instead would make a JPEG each time, on the cores that the service needs, and
give one that is up to a tenth of a second old. A note is a record at the end of NOTES, made once the model has seen the
picture, or the gate.
"""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

from detector.cli.app import main as detector_main
from detector.service.live_view import LiveScene, LiveView

from .drawn import read_number

_RECORD = struct.Struct("<Id")  # picture's number, monotonic s


def seen(notes: Path) -> list[tuple[int, float]]:
    """Number and monotonic s of each picture, in order."""
    data = notes.read_bytes()
    return list(_RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size]))


def main() -> None:
    notes = Path(sys.argv.pop(1)).open("ab", buffering=0)  # noqa: SIM115 - as long as the process
    show = LiveView.show

    def noted(view: LiveView, scene: LiveScene) -> None:
        show(view, scene)
        mono = time.monotonic()
        notes.write(_RECORD.pack(read_number(scene.frame.image.luma()), mono))

    LiveView.show = noted  # type: ignore[assignment]
    detector_main()


if __name__ == "__main__":
    main()
