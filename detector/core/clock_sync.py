"""Whether the wall clock is known to be right: boards without a battery start in 1970, or where they were switched off.

The kernel knows whether a time service disciplines the clock (adjtimex(2): STA_UNSYNC is cleared by NTP, chrony,
PTP). Where that cannot be read (systemd's ProtectClock= refuses the call) systemd-timesyncd's own mark is looked at.
Where neither says so, a clock that moved as the monotonic one for a day counts as right: nobody is correcting it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .clock import SYSTEM_CLOCK, Clock

DAY_S = 86_400.0
STEP_S = 60.0
"""A jump of the wall clock of more than this is a step, and no drift."""
DRIFT = 1e-3  # twice the 500 ppm that the kernel's own correction may reach (ADJ_FREQUENCY)
_STA_UNSYNC = 0x0040  # linux/timex.h
_TIMESYNCD_MARK = Path("/run/systemd/timesync/synchronized")  # touched at each synchronisation since boot


class _Timex(ctypes.Structure):
    """The head of `struct timex`, padded to more than its size (208 bytes)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@functools.lru_cache(maxsize=1)
def _adjtimex() -> Callable[[Any], int] | None:
    function: Callable[[Any], int] | None = getattr(ctypes.CDLL(None), "adjtimex", None)
    return function


def kernel_synced(mark: Path = _TIMESYNCD_MARK) -> bool | None:
    """Whether the kernel's clock is disciplined by a time service; None where that cannot be known. Some µs."""
    adjtimex = _adjtimex()
    state = _Timex()  # modes 0: read only
    if adjtimex is not None and adjtimex(ctypes.byref(state)) >= 0:
        return not state.status & _STA_UNSYNC
    return True if os.path.exists(mark) else None  # noqa: PTH110 - no Path is made for each alert


class ClockSync:
    """Its methods may be called from any thread, and never wait."""

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, kernel: Callable[[], bool | None] = kernel_synced) -> None:
        self._clock, self._kernel = clock, kernel
        self._lock = threading.Lock()
        self._known = False
        self._since_mono, self._offset = self._read()
        self._started_mono = self._since_mono

    def is_synced(self) -> bool:
        """Whether the wall clock was seen right, and has not jumped since."""
        told = bool(self._kernel())
        now, offset = self._read()
        with self._lock:
            elapsed = now - self._since_mono
            stepped = abs(offset - self._offset) > STEP_S + DRIFT * elapsed
            if told or stepped:
                self._known, self._since_mono, self._offset = told, now, offset
            elif elapsed >= DAY_S:
                self._known = True
            return self._known

    def unsynced_s(self) -> float:
        """For how long the clock has not been known to be right, s; 0 while it is."""
        return 0.0 if self.is_synced() else self._clock.mono() - self._started_mono

    def _read(self) -> tuple[float, float]:
        now = self._clock.mono()
        return now, self._clock.wall() - now
