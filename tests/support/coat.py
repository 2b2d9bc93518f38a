"""A clip in which the same person stands in the street again and again, to the pixel: what a coat is to a camera."""

from __future__ import annotations

from pathlib import Path

import av

from support import sample

FPS, SHOWN_S, HIDDEN_S, ROUNDS = 5, 4, 8, 2
PERSON, EMPTY = 30, 150  # frames of the sample clip


def coat_clip(path: Path) -> Path:
    """Nobody for `HIDDEN_S`, then the same picture of somebody for `SHOWN_S` or more, `ROUNDS` times; H.264.

    A busy machine looks at the empty street once a second, and five times before a visit is over.
    """
    there, empty = sample.frames((PERSON,))[0], sample.frames((EMPTY,))[0]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "g": str(FPS)})
        stream.height, stream.width = empty.shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(ROUNDS):
            for picture in [empty] * (HIDDEN_S * FPS) + [there] * ((SHOWN_S + number) * FPS):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path
