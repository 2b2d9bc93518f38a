"""Wrong tokens by address: five a minute are answered 401, more 429; all are counted, one line a minute is logged.

A right token is never refused: a program with an old token on the same machine, or behind the same proxy, would
otherwise lock its owner out. So this makes guessing seen; what makes it hopeless is the token's length (SECURITY.md).
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from detector.core.clock import SYSTEM_CLOCK
from detector.core.peers import LogLimit, peer_key

log = logging.getLogger(__name__)

ALLOWED = 5
WINDOW_S = 60.0
_MAX_PEERS = 1024  # addresses remembered: some 200 KiB; who was quiet longest is forgotten


class GuessLimit:
    """`allowed` wrong tokens a minute and address; `now`: monotonic s. Thread-safe."""

    def __init__(self, *, allowed: int = ALLOWED, now: Callable[[], float] = SYSTEM_CLOCK.mono) -> None:
        self.allowed, self._now = allowed, now
        self._lock = threading.Lock()
        self._peers: OrderedDict[str, deque[float]] = OrderedDict()
        self._lines = LogLimit(period_s=WINDOW_S, now=now)

    @property
    def total(self) -> int:
        """Wrong tokens since the start."""
        return self._lines.total

    def wrong(self, host: str) -> int:
        """Count a wrong token from the address `host`: whole seconds until the next may be tried, 0 for now."""
        peer = peer_key(host)
        with self._lock:
            if self._lines.due():
                log.warning("API: a wrong token from %s (%d so far, one line a minute)", host or peer, self.total)
            now, guesses = self._now(), self._peers.setdefault(peer, deque())
            self._peers.move_to_end(peer)
            if len(self._peers) > _MAX_PEERS:
                self._peers.popitem(last=False)
            while guesses and now - guesses[0] >= WINDOW_S:
                guesses.popleft()
            if len(guesses) < self.allowed:
                guesses.append(now)
                return 0
            return max(1, math.ceil(guesses[0] + WINDOW_S - now))
