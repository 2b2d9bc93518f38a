from __future__ import annotations

import cv2

from detector.opencv import use_one_thread


def test_opencv_takes_no_second_thread() -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        use_one_thread()
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)
