"""Whether a camera still shows its view, or somebody (or a defect) has taken it away.

Once a second a small grey picture is compared with the view that was learnt: each pixel's gradient, averaged over
minutes. Edges are where things are, whatever the light: day and night, the infrared filter and a lamp change their
strength and leave them in place; fog lowers all alike, slowly. What takes the view away is sudden and leaves no
edges (covered), others (turned), or wide ones (defocused). Time comes with the frame, so a replay decides alike.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.core.types import Floats, Image, Pixels

TamperKind = Literal["black", "grey", "frozen", "covered", "turned", "defocused", "noise"]

EXPLAINED: dict[TamperKind, str] = {
    "black": "its picture is black: is the lens covered, or the light out?",
    "grey": "its picture is of one colour: is the lens covered, or the camera defective?",
    "frozen": "its picture stands still to the last pixel: restart the camera (or raise tamper.frozen_s)",
    "covered": "its view is covered",
    "turned": "it looks elsewhere: was it turned?",
    "defocused": "its picture is out of focus: was the lens touched, or is it dirty?",
    "noise": "its picture is noise: check the camera and its cable",
}
"""What an operator reads of each kind, after the camera's name."""

LOOK_S = 1.0
HOLD_S = 5.0
"""A finding must last this long: longer than a lorry passes, or a face is in front of the lens."""
_SHARE = 0.8  # of the looks within HOLD_S that must agree
_LEARN_LOOKS = 10  # looks until the view counts as learnt
_FOLLOW_S = 120.0  # time constant with which the view follows: dusk and fog take longer
_ADOPT_S = 600.0  # a turned or defocused view that lasts this long is the new one
_LINES = 72  # of the small picture, at least: enough for edges
_BLACK = 30  # luma: 16 is black in limited range (BT.601), and sensors add a little noise
_FLAT = 10  # grey levels between the 1st and the 99th percentile: no scene, fog included, has fewer
_EDGE = 6.0  # grey levels a pixel: a weaker gradient is noise or compression
_ALIKE = 0.3  # correlation of gradients; another view gives 0.0 to 0.15, the same one by night 0.4 and more
_EDGES_LEFT = 0.3  # of the learnt view's edges; fewer: the lens is covered
_BLURRED = 0.45  # of the learnt steepness; defocus halves it at least, while fog does not change it
_NOISE_STEP = 0.6  # mean step between neighbours over the standard deviation: white noise gives 1.13, pictures < 0.3
_NOISE_STD = 20.0  # grey levels: sensor noise by night has 3 to 12


@dataclass(frozen=True, slots=True)
class _View:
    """What one look measured. `edges` is the gradient's size, float32 of the small picture."""

    small: Pixels
    edges: Floats
    steepness: float  # the steepest gradients over the picture's contrast, full resolution
    low: float  # the 1st percentile of the luma
    high: float  # the 99th
    noisy: bool

    @property
    def contrast(self) -> float:
        return self.high - self.low


@dataclass(slots=True)
class _Learnt:
    """The view as it was over the last minutes."""

    edges: Floats
    steepness: float
    contrast: float
    high: float
    looks: int = 1

    def follow(self, view: _View, weight: float) -> None:
        self.edges += np.float32(weight) * (view.edges - self.edges)
        self.steepness += weight * (view.steepness - self.steepness)
        self.contrast += weight * (view.contrast - self.contrast)
        self.high += weight * (view.high - self.high)
        self.looks += 1


class TamperDetector:
    """For one camera; not thread-safe. `frozen_s`: how long a picture may stay the same to the last pixel.

    `kind` is what is wrong, None while the view is there. `sudden`: it had been there before, so this is a change
    that somebody may have made; a camera that was black from its first picture on is no such change.
    """

    def __init__(self, *, frozen_s: float = 8.0) -> None:
        self._frozen_s = frozen_s
        self.kind: TamperKind | None = None
        self.sudden = False
        self.noisy = False
        self._start_over()

    def _start_over(self) -> None:
        self._looked = -np.inf
        self._learnt: _Learnt | None = None
        self._recent: deque[tuple[float, TamperKind | None]] = deque()
        self._last: Pixels | None = None
        self._changed_t = self._began_t = -np.inf

    def update(self, image: Image, t: float) -> TamperKind | None:
        """Look at the frame of time `t` (monotonic s) if a look is due; returns `kind`."""
        if t - self._looked < LOOK_S - 1e-6:
            return self.kind
        step, self._looked = min(t - self._looked, 10.0), t
        luma = image.luma()
        if min(luma.shape) < 16:
            return None  # no picture of a camera
        view = _view_of(luma)
        if self._last is not None and self._last.shape != view.small.shape:
            self._start_over()  # another resolution: all is compared from here on
            self._looked = t
        finding = self._find(view, t)
        self.noisy = view.noisy
        self._last = view.small
        self._decide(finding, t)
        self._learn(view, finding, t, step)
        return self.kind

    def _find(self, view: _View, t: float) -> TamperKind | None:
        """What this look alone says."""
        if self._last is None or bool((self._last != view.small).any()):
            self._changed_t = t
        if view.noisy:
            return "noise"
        learnt = self._learnt
        if view.contrast <= _FLAT:
            return self._flat(view, learnt)
        if t - self._changed_t >= self._frozen_s - HOLD_S:
            return "frozen"
        if learnt is None or learnt.looks < _LEARN_LOOKS:
            return None
        return _compare(view, learnt)

    def _flat(self, view: _View, learnt: _Learnt | None) -> TamperKind | None:
        """A picture of one brightness; one that dusk or fog made so, slowly, shows what there is."""
        if learnt is not None and learnt.contrast <= 2.5 * _FLAT:
            return None
        return "black" if view.high <= _BLACK else "grey"

    def _decide(self, finding: TamperKind | None, t: float) -> None:
        recent = self._recent
        recent.append((t, finding))
        while recent and t - recent[0][0] > HOLD_S + 1e-6:
            recent.popleft()
        if t - recent[0][0] < HOLD_S - LOOK_S or len(recent) < 3:
            return
        counts = Counter(kind for _, kind in recent)
        tampered = len(recent) - counts.pop(None, 0)
        if tampered >= _SHARE * len(recent):
            kind = counts.most_common(1)[0][0]
            if self.kind is None:
                self.sudden = self._learnt is not None and self._learnt.looks >= _LEARN_LOOKS
                self._began_t = t
            self.kind = kind
        elif tampered <= (1.0 - _SHARE) * len(recent):
            self.kind = None

    def _learn(self, view: _View, finding: TamperKind | None, t: float, step: float) -> None:
        if self.kind in ("turned", "defocused") and t - self._began_t >= _ADOPT_S:
            self._learnt, self.kind = None, None
            self._recent.clear()
        if self._learnt is None:
            if finding is None and view.contrast > _FLAT:
                self._learnt = _Learnt(view.edges.copy(), view.steepness, view.contrast, view.high)
        elif finding is None:
            young = self._learnt.looks < _LEARN_LOOKS
            weight = 1.0 / (self._learnt.looks + 1) if young else 1.0 - float(np.exp(-step / _FOLLOW_S))
            self._learnt.follow(view, weight)


def _compare(view: _View, learnt: _Learnt) -> TamperKind | None:
    """Another view, none, or a blurred one; None for the learnt one."""
    alike = _correlation(view.edges, learnt.edges)
    before, now = _edge_share(learnt.edges), _edge_share(view.edges)
    if alike < _ALIKE:
        # In the dark the noise hides what edges there are: nothing can be said but that there is little light.
        if view.high < 60 and learnt.high < 90:
            return None
        return "covered" if now < _EDGES_LEFT * before else "turned"
    if view.steepness < _BLURRED * learnt.steepness:
        return "defocused"
    return None


def _view_of(luma: Pixels) -> _View:
    height, width = luma.shape
    stride = max(1, min(height, width) // _LINES)
    # Single pixels, not means: what is noise stays noise, and no row between is read.
    small = np.ascontiguousarray(luma[::stride, ::stride])
    smooth = cv2.GaussianBlur(small, (0, 0), 1.2)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125)
    low, high = _level(small, 0.01), _level(small, 0.99)
    rows = np.ascontiguousarray(luma[:: 2 * stride])  # full resolution along the row: defocus shows there
    deviation = float(rows.std())
    noisy = deviation >= _NOISE_STD and float(_steps(rows, 1).mean()) >= _NOISE_STEP * deviation
    # Over four pixels, so that sensor noise adds little.
    steepness = _level(_steps(rows, 4), 0.99) / max(high - low, 1.0)
    return _View(small, np.asarray(cv2.magnitude(across, down), np.float32), steepness, low, high, noisy)


def _steps(rows: Pixels, apart: int) -> Pixels:
    """How much pixels of a row differ that lie so far apart."""
    return np.asarray(cv2.absdiff(rows[:, apart:], rows[:, :-apart]), np.uint8)


def _level(pixels: Pixels, share: float) -> float:
    """The grey level that this share of the pixels does not exceed."""
    counts = np.cumsum(np.bincount(pixels.ravel(), minlength=256))
    return float(np.searchsorted(counts, share * counts[-1]))


def _edge_share(edges: Floats) -> float:
    return float(np.count_nonzero(edges > _EDGE)) / edges.size


def _correlation(one: Floats, other: Floats) -> float:
    """Pearson's, -1..1; square roots, so that one bright lamp's edge does not outweigh all others."""
    a: NDArray[np.float32] = np.sqrt(one)
    b: NDArray[np.float32] = np.sqrt(other)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / size if size > 0 else 0.0
