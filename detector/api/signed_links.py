"""Requests for an event's files by a signed address, as an alert's `snapshot_url` gives it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from detector.core.link_signer import LinkSigner

_SIGNABLE = re.compile(r"/api/events/[^/]+/(?:snapshot\.jpg|clip\.mp4)")


@dataclass(frozen=True, slots=True)
class SignedLinks:
    """`signer` None: no address is a signed one."""

    signer: LinkSigner | None = None

    def check(self, method: str, path: str, query: bytes) -> str | None:
        """What is wrong with the signed address by which the request comes; empty: nothing. None: it is not signed.

        Who holds a right address may see this one file, whatever else the request carries or lacks.
        """
        if self.signer is None or method not in ("GET", "HEAD") or not _SIGNABLE.fullmatch(path):
            return None
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        if not given.keys() & {"expires", "signature"}:
            return None
        expires, signature = (given.get(name, [""])[0] for name in ("expires", "signature"))
        return self.signer.problem(path, expires=expires, signature=signature) or ""
