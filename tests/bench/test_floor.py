from __future__ import annotations

import time

import numpy as np
import pytest

from bench.bare import interleaved_ms, paced_ms
from bench.drawn import Coded, code
from bench.floor import decoding, decoding_paced, decoding_together
from bench.overhead import main as overhead
from bench.stall import Recovery, _figures


def test_sides_take_turns_and_each_has_its_own_medians() -> None:
    called: list[str] = []

    def spin(name: str, count: int) -> None:
        called.append(name)
        sum(range(count))

    sides = [[lambda: spin("a", 1)], [lambda: spin("b", 300_000), lambda: spin("c", 300_000)]]
    quick, slow = interleaved_ms(sides, 3)
    assert called == ["a", "b", "c"] * 3
    assert slow["cpu_ms"] > 10 * quick["cpu_ms"] >= 0.0
    assert slow["run_ms"] >= slow["cpu_ms"] * 0.5 > 0.0


def test_decoding_is_timed_on_pictures_that_really_decode() -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (480, 640, 3), dtype=np.uint8) for _ in range(6)]
    coded = Coded(units=tuple(code(pictures, 10, (640, 480))), fps=10, size=(640, 480))
    whole = decoding(coded, units=6)
    assert whole["run_ms"] > 0.5, "VGA noise takes a decoder about 3 ms"
    paced = decoding_paced(coded, units=2)
    assert paced["mean_cpu_ms"] > 0.5
    assert decoding_together(coded, 0, 6, rounds=3) > 3 * whole["run_ms"]
    cut = Coded(units=tuple(unit[:8] for unit in coded.units), fps=10, size=(640, 480))
    assert decoding(cut, units=6)["cpu_ms"] < whole["cpu_ms"] / 2


def test_paced_calls_sleep_in_between_and_the_first_do_not_count() -> None:
    begun: list[float] = []

    def spin() -> None:
        begun.append(time.perf_counter())
        sum(range(3_000_000 if len(begun) <= 2 else 30_000))

    figures = paced_ms([spin] * 6, fps=50, warm_up=2)
    assert len(begun) == 6
    assert begun[5] - begun[2] > 2.9 / 50
    assert 0.0 < figures["cpu_ms"] <= figures["run_ms"] * 1.5
    assert figures["mean_cpu_ms"] < 30.0, "each of the first two is about 60"


def test_what_nothing_explains_is_waiting() -> None:
    rounds = [
        Recovery(ms=ms, backlog=4, decode_ms=decode_ms)
        for ms, decode_ms in ((300.0, 90.0), (100.0, 16.0), (120.0, 16.0))
    ]
    figures = _figures(rounds, run_ms=30.0)
    assert figures["recovered_ms"] == 120.0, "the one in the middle"
    assert (figures["decode_ms"], figures["waited_ms"]) == (16.0, 74.0)
    assert figures["rounds_waited_ms"] == [180.0, 54.0, 74.0]
    assert _figures(rounds[1:2], run_ms=90.0)["waited_ms"] == 0.0


def test_without_the_clips_a_bench_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert overhead(["--shared", "/nowhere"]) == 1
    assert "give --shared or set DETECTOR_SHARED" in capsys.readouterr().err
