"""Makes docs/page.png, the README's picture of the page: the real service on a drawn clip, in a headless Chromium.

    python scripts/page_picture.py [OUTPUT.png]

The clip is drawn here, so that no picture of other people is in the repository.
"""

from __future__ import annotations

import itertools
import math
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.browser import Browser  # noqa: E402  # after the path is set
from support.mosquitto import free_port  # noqa: E402
from support.program import Program  # noqa: E402

WIDTH, HEIGHT, FPS, SECONDS = 1280, 720, 10, 12
Pixels = NDArray[np.uint8]
Point = tuple[float, float]
Colour = tuple[int, int, int]  # BGR
_GARDEN = [[0, 0.6], [1, 0.6], [1, 1], [0, 1]]
_SKIN, _COAT, _TROUSERS, _DARK = (150, 180, 220), (45, 50, 150), (75, 55, 45), (30, 30, 35)


def yard() -> Pixels:
    """A wall with a door and a window, a hedge, a lawn and a path."""
    random = np.random.default_rng(1)
    picture = np.full((HEIGHT, WIDTH, 3), (190, 160, 125), np.uint8)
    cv2.rectangle(picture, (0, 90), (520, 470), (150, 170, 185), -1)
    for y in range(110, 470, 24):
        cv2.line(picture, (0, y), (520, y), (138, 158, 174), 1)
    for corners, colour in ((((200, 210), (310, 470)), (70, 80, 110)), (((370, 220), (480, 340)), (120, 100, 80))):
        cv2.rectangle(picture, *corners, colour, -1)
        cv2.rectangle(picture, *corners, (235, 240, 240), 6)
    cv2.rectangle(picture, (520, 300), (WIDTH, 470), (70, 110, 75), -1)
    for x, y, radius, green in random.integers((525, 290, 5, 80), (WIDTH, 465, 14, 135), (900, 4)).tolist():
        cv2.circle(picture, (x, y), radius, (60, green, 65), -1)
    cv2.rectangle(picture, (0, 470), (WIDTH, HEIGHT), (95, 150, 105), -1)
    for x, y, green in random.integers((0, 474, 130), (WIDTH, HEIGHT, 165), (5000, 3)).tolist():
        cv2.line(picture, (x, y), (x + 1, y - 4), (85, green, 95), 1)
    cv2.fillPoly(picture, [np.array([(205, 470), (305, 470), (620, 720), (250, 720)])], (165, 172, 178))
    return picture


def _limb(picture: Pixels, points: list[Point], width: float, colour: Colour) -> None:
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        cv2.line(picture, (int(x1), int(y1)), (int(x2), int(y2)), colour, int(width), cv2.LINE_AA)


def _shaded(colour: Colour) -> Colour:
    return int(colour[0] * 0.8), int(colour[1] * 0.8), int(colour[2] * 0.8)


def walker(picture: Pixels, x: float, foot: float, height: float, phase: float) -> None:
    """Draws a person who walks to the right; `phase` rad of the step, the rest px."""
    u = height / 8  # a head's height
    hip, shoulder, swing = (x, foot - 4 * u), (x + 0.1 * u, foot - 6.4 * u), math.sin(phase)
    cv2.ellipse(picture, (int(x), int(foot)), (int(1.6 * u), int(0.3 * u)), 0, 0, 360, (75, 115, 85), -1)
    for k, colour in ((-swing, _shaded(_TROUSERS)), (swing, _TROUSERS)):
        knee = (hip[0] + (0.9 * k + 0.1) * u, hip[1] + 2 * u)
        ankle = (knee[0] + (0.6 * k - (0.5 if k < 0 else 0)) * u, foot - 0.2 * u)
        _limb(picture, [hip, knee, ankle], 0.9 * u, colour)
        _limb(picture, [ankle, (ankle[0] + 0.55 * u, foot)], 0.5 * u, _DARK)
    _arm(picture, shoulder, -swing, u, _shaded(_COAT))
    left, right, top, bottom = x - 0.9 * u, x + 0.95 * u, shoulder[1] - 0.3 * u, hip[1] + 0.4 * u
    coat = [(left, top + 0.4 * u), (left + 0.4 * u, top), (right - 0.3 * u, top), (right, top + 0.4 * u)]
    cv2.fillPoly(picture, [np.array([*coat, (right, bottom), (left, bottom)], np.int32)], _COAT, cv2.LINE_AA)
    _arm(picture, shoulder, swing, u, _COAT)
    head = (int(x + 0.15 * u), int(foot - 7.4 * u))
    _limb(picture, [(x + 0.1 * u, top), (head[0], head[1] + 0.4 * u)], 0.5 * u, _SKIN)
    cv2.ellipse(picture, head, (int(0.5 * u), int(0.65 * u)), 0, 0, 360, _SKIN, -1, cv2.LINE_AA)
    cv2.ellipse(picture, head, (int(0.54 * u), int(0.66 * u)), 0, 150, 350, _DARK, -1, cv2.LINE_AA)


def _arm(picture: Pixels, shoulder: Point, k: float, u: float, colour: Colour) -> None:
    elbow = (shoulder[0] - 0.8 * k * u, shoulder[1] + 1.4 * u)
    hand = (elbow[0] - (0.5 * k - 0.4) * u, elbow[1] + 1.3 * u)
    _limb(picture, [shoulder, elbow, hand], 0.55 * u, colour)
    cv2.circle(picture, (int(hand[0]), int(hand[1])), int(0.3 * u), _SKIN, -1, cv2.LINE_AA)


def clip(path: Path, *, height: float, foot: float, first_s: float) -> Path:
    """H.264: an empty yard, and from `first_s` on somebody `height` px tall who crosses it."""
    random, background = np.random.default_rng(0), yard()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(SECONDS * FPS):
            picture, since = background.copy(), number / FPS - first_s
            if since > 0:
                walker(picture, 220 + 90 * since, foot, height, 5 * since)
            noisy = cv2.GaussianBlur(picture, (3, 3), 0) + random.normal(0, 1, picture.shape)
            frame = av.VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), "bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def main(output: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        porch = clip(folder / "porch.mp4", height=340, foot=640, first_s=1)
        drive = clip(folder / "drive.mp4", height=250, foot=560, first_s=3)
        document = {
            "device": {"id": "front-yard", "name": "Front yard"},
            "cameras": {
                camera: {
                    "source": str(path),
                    "loop": True,
                    "detect_fps": 5,
                    "zones": {"garden": _GARDEN},
                    "alert": {"cooldown_s": 0},
                }
                for camera, path in (("porch", porch), ("drive", drive))
            },
            "mqtt": {"embedded": {"port": free_port()}},
        }
        with Program(folder / "service", document) as program:
            program.wait_ready()
            _picture(program, folder, output)


def _picture(program: Program, folder: Path, output: Path) -> None:
    browser = Browser(folder / "profile")
    try:
        page = browser.page(f"http://127.0.0.1:{program.port}/", width=1480, height=880)
        page.until("document.querySelectorAll('.visit').length >= 4", timeout=90)
        program.wait_for(lambda: all(c["people"] for c in program.status()["cameras"].values()), "people in view")
        time.sleep(1.5)  # until both pictures show them
        page.screenshot(output)
        if complaints := page.complaints():
            sys.exit(f"the page complains: {complaints}")
    finally:
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/page.png")
