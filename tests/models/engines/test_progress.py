from __future__ import annotations

from detector.models.engines.progress import TOTAL, Phases


def test_nested_phases_are_one_number_that_only_grows() -> None:
    seen: list[tuple[int, int | None, str]] = []
    phases = Phases(lambda *report: seen.append(report), lambda: False)
    phases.start("build", None, 4)
    assert phases.step("build", 0)
    phases.start("optimise", "build", 2)
    phases.step("optimise", 0)
    phases.start("optimise again", "build", 10)  # as far as the first one was: not taken back
    phases.step("build", 3)
    assert seen == [
        (0, TOTAL, "build"),
        (250, TOTAL, "build"),
        (250, TOTAL, "optimise"),
        (375, TOTAL, "optimise"),
        (375, TOTAL, "optimise again"),
        (1000, TOTAL, "build"),
    ]


def test_a_cancelled_build_ends_at_the_next_step() -> None:
    phases = Phases(lambda *_: None, lambda: True)
    phases.start("build", None, 4)
    assert not phases.step("build", 0)


def test_phases_that_it_does_not_know_do_no_harm() -> None:
    phases = Phases(lambda *_: None, lambda: False)
    phases.finish("never started")
    assert phases.step("never started", 3)
    phases.start("nothing to do", "unknown parent", 0)
