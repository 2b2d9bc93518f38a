"""A clip in which the same person stands in the street again and again, to the pixel: what a coat is to a camera."""

from __future__ import annotations

from pathlib import Path

import av

from support import sample

FPS, SHOWN_S, HIDDEN_S, ROUNDS = 5, 3, 4, 4
PERSON, EMPTY = 30, 150  # frames of the sample clip
SHORTER_S = 0.4
"""Each appearance lasts so much longer than the one before, so that no two are alike in time."""


def coat_clip(path: Path) -> Path:
    """Nobody for `HIDDEN_S`, then the same picture of somebody for `SHOWN_S` or more, `ROUNDS` times; H.264."""
    there, empty = sample.frames((PERSON,))[0], sample.frames((EMPTY,))[0]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "g": str(FPS)})
        stream.height, stream.width = empty.shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(ROUNDS):
            shown = round((SHOWN_S + number * SHORTER_S) * FPS)
            for picture in [empty] * (HIDDEN_S * FPS) + [there] * shown:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path
