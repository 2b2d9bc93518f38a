from __future__ import annotations

from pathlib import Path

from bench.kernels import BEGIN, END, decodings, inms_bytes, letterboxes
from support.hostkernels import HostKernels

PAGE = Path(__file__).resolve().parents[2] / "docs/jetson.md"


def test_the_page_says_what_the_command_counts(letterbox_host: HostKernels, post_host: HostKernels) -> None:
    made = [*letterboxes(letterbox_host), "", *decodings(post_host)]
    told = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert told.splitlines()[: len(made)] == made, "python -m bench.kernels --write docs/jetson.md"


def test_inmslayer_moves_its_inputs_three_times() -> None:
    assert inms_bytes(1000, 0) == 3 * 5 * 4 * 1000 + 4
    assert inms_bytes(1000, 2) - inms_bytes(1000, 0) == 2 * (12 + 40)
