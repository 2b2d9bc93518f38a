from __future__ import annotations

from collections.abc import Iterable

from detector.capture.rtsp.access_units import AccessUnit
from detector.capture.rtsp.decode_queue import DecodeQueue, Turn

TICK = 90000 // 25


def unit(number: int, *, key: bool = False, reference: bool = True, parameters: bytes = b"") -> AccessUnit:
    return AccessUnit(
        data=parameters + b"%d" % number,
        parameters=parameters,
        timestamp=number * TICK,
        mono=0.0,
        key=key,
        reference=reference,
        damaged=False,
    )


def taken(waiting: DecodeQueue) -> list[int]:
    numbers = []
    while (turn := waiting.take()) is not None:
        numbers.append(turn.unit.timestamp // TICK)
    return numbers


def filled(*units: AccessUnit) -> DecodeQueue:
    waiting = DecodeQueue(clock_rate=90000)
    for one in units:
        waiting.put(one)
    return waiting


def test_in_step_nothing_is_left_out() -> None:
    waiting = DecodeQueue(clock_rate=90000)
    for number in range(50):
        waiting.put(unit(number, key=number % 10 == 0, reference=number % 2 == 0))
        assert taken(waiting) == [number]
    assert waiting.skipped == 0


def test_a_short_burst_leaves_nothing_out() -> None:
    waiting = filled(*(unit(number, reference=number % 2 == 0) for number in range(6)))
    assert taken(waiting) == [0, 1, 2, 3, 4, 5]


def test_behind_it_leaves_out_what_no_other_needs_until_it_is_not() -> None:
    waiting = filled(*(unit(number, reference=number % 3 == 0) for number in range(13)))
    # 0.25 s are six and a quarter pictures.
    assert taken(waiting) == [0, 3, 6, 7, 8, 9, 10, 11, 12]
    assert waiting.skipped == 4


def test_behind_it_jumps_to_the_newest_key_frame_with_the_parameter_sets_it_passed() -> None:
    waiting = filled(
        unit(0, key=True, parameters=b"old"),
        *(unit(number) for number in range(1, 10)),
        unit(10, key=True, parameters=b"new"),
        *(unit(number) for number in range(11, 20)),
        unit(20, key=True),
        unit(21),
    )
    turn = waiting.take()
    assert turn is not None
    assert turn.fresh
    assert turn.unit.data == b"new20"
    second = waiting.take()
    assert second is not None
    assert not second.fresh
    assert second.unit.data == b"21"
    assert waiting.skipped == 20


def gop(length: int, count: int, cost_s: float) -> DecodeQueue:
    """A stream that has just played two key frames `length` apart, decoded at `cost_s` each, now `count` behind."""
    waiting = DecodeQueue(clock_rate=90000)
    for number in range(length + 1):
        waiting.put(unit(number, key=number % length == 0))
        waiting.take()
        waiting.spent(cost_s)
    for number in range(length + 1, length + 1 + count):
        waiting.put(unit(number))
    return waiting


def test_a_decoder_slower_than_the_camera_waits_for_the_next_key_frame() -> None:
    waiting = gop(50, 20, cost_s=0.08)
    assert waiting.take() is None
    waiting.put(unit(71))
    assert waiting.take() is None
    waiting.put(unit(100, key=True))
    turn = waiting.take()
    assert turn is not None
    assert turn.fresh
    assert turn.unit.key
    waiting.put(unit(101))
    assert taken(waiting) == [101]
    assert waiting.skipped == 21


def test_a_fast_decoder_decodes_on() -> None:
    assert taken(gop(50, 20, cost_s=0.004)) == list(range(51, 71))


def test_without_known_key_frames_it_never_waits_for_one() -> None:
    waiting = DecodeQueue(clock_rate=90000)
    for number in range(40):
        waiting.put(unit(number))
        waiting.spent(0.08)
    assert taken(waiting) == list(range(40))


def test_a_picture_is_late_only_while_a_newer_one_waits() -> None:
    waiting = filled(unit(0), unit(20))
    assert not waiting.late(10 * TICK)
    assert waiting.late(0)
    waiting.take()
    waiting.take()
    assert not waiting.late(0)


def test_after_a_late_one_all_are_late_until_the_newest_if_that_comes_soon() -> None:
    for cost_s, soon in ((0.004, True), (0.03, False)):
        waiting = gop(50, 20, cost_s=cost_s)
        assert not waiting.late(65 * TICK), "none was late yet"
        assert waiting.late(51 * TICK)
        assert waiting.late(65 * TICK) == soon
        taken(waiting)
        waiting.put(unit(71))
        assert not waiting.late(65 * TICK), "it had caught up"


def test_neither_a_key_frame_nor_a_halt_of_the_machine_makes_it_wait_for_the_next_key_frame() -> None:
    waiting = DecodeQueue(clock_rate=90000)
    for number in range(31):
        waiting.put(unit(number, key=number % 10 == 0))
        waiting.take()
        waiting.spent(0.2 if number % 10 == 0 else 10.0 if number == 28 else 0.004)
    for number in range(31, 51):
        waiting.put(unit(number))
    assert taken(waiting) == list(range(31, 51))


def test_stamps_that_leap_back_make_nothing_late() -> None:
    waiting = filled(unit(1000), unit(0), unit(1))
    assert not waiting.late(0)
    assert taken(waiting) == [1000, 0, 1]


class Idle:
    """A stream of which the newest picture is taken at once, while `idle` asks for key frames alone."""

    def __init__(self, *, longest_s: float = 4.0) -> None:
        self.idle = False
        self.waiting = DecodeQueue(clock_rate=90000, keyframes_only=lambda: self.idle, longest_s=longest_s)
        self.turns: list[Turn] = []

    def play(self, numbers: Iterable[int], *, key_each: int = 10) -> list[int]:
        """What is handed out over these pictures."""
        done = len(self.turns)
        for number in numbers:
            self.waiting.put(unit(number, key=number % key_each == 0))
            while (turn := self.waiting.take()) is not None:
                self.turns.append(turn)
        return [turn.unit.timestamp // TICK for turn in self.turns[done:]]


def test_key_frames_alone_if_asked() -> None:
    stream = Idle()
    stream.play(range(12))
    stream.idle = True
    assert stream.play(range(12, 35)) == [20, 30]
    assert all(turn.alone for turn in stream.turns[-2:])
    assert stream.waiting.sparing
    assert stream.waiting.skipped == 8 + 9, "what follows the newest key frame may still be needed"


def test_back_from_idle_the_picture_goes_on_from_the_last_key_frame() -> None:
    stream = Idle()
    stream.play(range(12))
    stream.idle = True
    stream.play(range(12, 24))
    stream.idle = False
    assert stream.play([24]) == [20, 21, 22, 23, 24]
    again, *others = stream.turns[-5:]
    assert (again.fresh, again.seen, again.alone) == (True, True, False)
    assert not any(turn.fresh or turn.seen for turn in others)
    assert stream.play(range(25, 41)) == list(range(25, 41))
    assert not stream.waiting.sparing
    assert stream.waiting.skipped == 8


def test_back_from_idle_before_a_key_frame_came_nothing_is_lost() -> None:
    stream = Idle()
    stream.play(range(12))
    stream.idle = True
    assert stream.play(range(12, 15)) == []
    stream.idle = False
    assert stream.play([15]) == [12, 13, 14, 15]
    assert not any(turn.fresh or turn.seen for turn in stream.turns)
    assert stream.waiting.skipped == 0


def test_back_from_idle_a_key_frame_that_still_waits_is_shown_once() -> None:
    stream = Idle()
    stream.play(range(12))
    stream.idle = True
    stream.play(range(12, 20))
    stream.waiting.put(unit(20, key=True))
    stream.idle = False
    stream.waiting.put(unit(21))
    assert stream.play([22]) == [20, 21, 22]
    assert not any(turn.seen for turn in stream.turns)
    assert stream.turns[-3].fresh


def test_rare_key_frames_are_not_enough_when_idle() -> None:
    stream = Idle(longest_s=0.3)
    stream.idle = True
    assert stream.play(range(30)) == list(range(30))
    assert not stream.waiting.sparing


def test_key_frames_that_stop_coming_end_the_sparing() -> None:
    stream = Idle()
    stream.play(range(12))
    stream.idle = True
    assert stream.play(range(12, 21)) == [20]
    stream.play(range(21, 60), key_each=1000)
    assert not stream.waiting.sparing
    assert stream.turns[-1].unit.timestamp == 59 * TICK


def test_what_nobody_decodes_fills_no_memory() -> None:
    waiting = DecodeQueue(clock_rate=90000)
    big = bytes(1 << 20)
    for number in range(100):
        one = unit(number)
        waiting.put(
            AccessUnit(
                data=big,
                parameters=b"",
                timestamp=one.timestamp,
                mono=0.0,
                key=number % 50 == 0,
                reference=True,
                damaged=False,
            )
        )
        assert len(waiting) <= 33
