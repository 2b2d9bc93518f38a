"""How far a candidate's detections differ from the reference's, and the limits for accepting it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The allowed differences. `sure` is the reference's score from which on a person must be found.

    `slack` is how much lower the candidate's score for the same person may be; shares are of the
    reference's persons; `ap_drop` in points of 100. With `proof` each must hold at the 90 % bound of a bootstrap over the
    pictures; without, on these pictures alone, which is enough to choose by.
    """

    sure: float = 0.5
    slack: float = 0.2
    min_persons: int = 5
    missed_share: float = 0.02
    extra_share: float = 0.05
    iou_mean: float = 0.93
    score_delta_mean: float = 0.05
    ap_drop: float = 0.5
    proof: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Persons `missed` and `extra`, of `persons` in the reference; `reasons` is empty if accepted.

    IoU and score differences are over the persons that both found; None if there are none. `ap_drop` (points of
    100) is None without ground truth; `ap_drop_bound` is the most that it may be on other pictures like these (90 %).
    """

    accepted: bool
    reasons: tuple[str, ...]
    images: int
    persons: int
    missed: int
    extra: int
    iou_mean: float | None
    iou_min: float | None
    score_delta_mean: float | None
    score_delta_max: float | None
    ap_drop: float | None = None
    ap_drop_bound: float | None = None

    @property
    def why(self) -> str:
        return "; ".join(self.reasons) or "agrees with the reference"
