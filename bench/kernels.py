"""What the CUDA kernels move, counted from their loads and stores as they run on the host; no GPU, no time.

    python -m bench.kernels [--write docs/jetson.md]     --write puts the tables between the page's two marks

Letterbox: 32-byte sectors that a block's loads touch, once a block, a description of 128 bytes a block, and all
stores, over what must move: the sectors that hold a pixel of non-zero weight, and the input, once each. Decoding: the
two kernels, against the head copied to the host, and against INMSLayer, whose inputs other layers must lay out first.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from detector.core.types import PlaneFormat
from detector.inference.kernels import post
from detector.inference.layout import Layout, anchors

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the host's compiler is driven as the tests do it

from support.heads import crowd, post_of
from support.hostkernels import HostKernels, address
from support.letterboxes import LetterboxRun, noise

BEGIN, END = "<!-- bench.kernels -->\n", "<!-- /bench.kernels -->\n"
FORMATS: tuple[PlaneFormat, ...] = ("bgr", "nv12", "yuyv", "i420")
PEOPLE = 8


def letterboxes(host: HostKernels) -> Iterator[str]:
    yield "| 1920x1080 to 640x384 | fp32: KB moved | over what must | fp16: KB moved | over what must |"
    yield "|---|---|---|---|---|"
    for picture_format in FORMATS:
        cells: list[str] = [picture_format]
        for dtype in ("float32", "float16"):
            run = LetterboxRun(width=640, height=384, dtype="float32" if dtype == "float32" else "float16")
            tensor, traffic, blocks = run.count(host, noise(picture_format, 1920, 1080))
            moved = traffic.loaded_by_block + 128 * blocks + traffic.stored
            cells += [f"{moved / 1e3:.0f}", f"{moved / (traffic.needed + tensor.nbytes):.3f}"]
        yield f"| {' | '.join(cells)} |"


def decodings(host: HostKernels) -> Iterator[str]:
    heads = {
        "YOLOv8, 640x640, 80 classes": Layout(kind="dense", width=640, height=640, classes=80),
        "the same, persons alone": Layout(kind="dense", width=640, height=640, classes=1),
        "YOLOX, 416x416, grid of 80 classes": Layout(kind="yolox-grid", width=416, height=416, classes=80),
    }
    yield f"| head in fp32, {PEOPLE} persons | KB, our two kernels | KB, copied to the host | KB, by INMSLayer |"
    yield "|---|---|---|---|"
    for name, layout in heads.items():
        output = crowd(layout, anchors(layout.width, layout.height), seed=1, people=PEOPLE, busy=0.01)
        work = post_of(layout, output, floor=0.1)
        struct = post.head_struct(work.tensors, layout, floor=0.1)
        head, scratch = address(struct), address(work.scratch)
        launches = (
            post.gather(head=head, scratch=scratch, cells=work.tensors.cells, count=1),
            post.suppress(head=head, scratch=scratch, results=address(work.results), count=1),
        )
        moved = sum(each.needed + each.stored for each in map(host.count, launches))
        kept = int(work.results["count"][0])
        figures = (moved, output.nbytes, inms_bytes(work.tensors.cells, kept))
        yield f"| {name} | {' | '.join(f'{figure / 1e3:.0f}' for figure in figures)} |"


def inms_bytes(cells: int, kept: int) -> int:
    """The least that INMSLayer's way moves in fp32: boxes [N,4] and scores [N] are read and written once to be laid
    out as it wants them, read again by it; indices (3 x 4 bytes), their number, and the rows that they gather.
    """
    laid_out = 2 * 5 * 4 * cells
    return laid_out + 5 * 4 * cells + 12 * kept + 4 + 2 * 20 * kept


def tables() -> str:
    with tempfile.TemporaryDirectory() as folder:
        letterbox, post_processing = (HostKernels(f"{name}.cu", Path(folder)) for name in ("letterbox", "post"))
        return "\n".join([*letterboxes(letterbox), "", *decodings(post_processing), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="PAGE.md")
    page = parser.parse_args().write
    if shutil.which("g++") is None:
        sys.exit("bench.kernels: needs g++, which compiles the kernels for the host")
    found = tables()
    if page is None:
        print(found)
        return
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    page.write_text(f"{before}{BEGIN}{found}{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
