"""The steps in which detection is reduced: fewer detections a second, then smaller inputs, then a smaller model. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detector.models.autotune.reduced import ReducedForm

SHARES = (0.7, 0.5, 0.35, 0.25, 0.15, 0.1)  # of detect_fps
_APART = 1.15  # times the least share; nearer to it is no step of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """`detect_share` of each camera's rate; `form` None: the full model. `cost`: of the full cost, without decoding."""

    detect_share: float = 1.0
    form: ReducedForm | None = None

    @property
    def cost(self) -> float:
        return self.detect_share * (1.0 if self.form is None else self.form.cost)

    def __str__(self) -> str:
        rate = f"{self.detect_share:.0%} of detect_fps" if self.detect_share < 1.0 else "the full detect_fps"
        return rate if self.form is None else f"{rate} with {self.form}"


def rate_shares(detect_fps: float, least_fps: float) -> tuple[float, ...]:
    """The shares of `detect_fps` to step through, down to `least_fps`; none where it is no more than that."""
    least = least_fps / detect_fps
    if least >= 1.0:
        return ()
    return (*(share for share in SHARES if share > least * _APART), least)


def reduction(level: int, model_level: int, shares: Sequence[float], forms: Sequence[ReducedForm]) -> Reduction:
    """At `level` of all steps, the rate's first, and at least `model_level` of the model's."""
    share = shares[min(level, len(shares)) - 1] if level and shares else 1.0
    index = min(max(level - len(shares), model_level), len(forms))
    return Reduction(detect_share=share, form=forms[index - 1] if index > 0 else None)
