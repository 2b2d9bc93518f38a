"""The headers that every answer carries: what a browser may do with it, and which sites may show it."""

from __future__ import annotations

from collections.abc import Sequence

HeaderList = list[tuple[bytes, bytes]]
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors "
)
_COMMON: HeaderList = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class SecurityHeaders:
    """`frame_ancestors`: origins whose pages may show the detector's in a frame."""

    def __init__(self, frame_ancestors: Sequence[str] = ()) -> None:
        self._usual = _framing(frame_ancestors)
        self._ingress = _framing(["'self'", *frame_ancestors])

    def of(self, *, ingress: bool = False, any_site: bool = False) -> HeaderList:
        """`ingress`: Home Assistant's, a frame of the same origin. `any_site`: a picture that all may embed."""
        resource = b"cross-origin" if any_site else b"same-origin"
        framing = self._ingress if ingress else self._usual
        return [*framing, *_COMMON, (b"cross-origin-resource-policy", resource)]


def _framing(ancestors: Sequence[str]) -> HeaderList:
    """X-Frame-Options knows no list of origins: it says the same as the policy, or is left out."""
    policy = (b"content-security-policy", (_POLICY + (" ".join(ancestors) or "'none'")).encode())
    if not ancestors:
        return [policy, (b"x-frame-options", b"DENY")]
    return [policy, (b"x-frame-options", b"SAMEORIGIN")] if list(ancestors) == ["'self'"] else [policy]
