"""Who is left out, and who must not be."""

from __future__ import annotations

from detector.mqtt.trials import CLEAR_S, EXPIRE_S, RETRY_S, Trial, Trials

PICTURE = Trial(name="p/snapshot", size=90_000, hint="raise the limit", shrinks=True)
DISCOVERY = Trial(name="h/config", size=8_000, hint="discovery_prefix: null")


def lose_twice(trials: Trials, trial: Trial) -> Trial | None:
    for _ in range(2):
        trials.connected(0.0)
        trials.begin(trial, 1, 0.0)
        found = trials.lost(1.0)
    return found


def test_what_was_alone_on_its_way_at_two_losses_is_left_out_for_a_while() -> None:
    trials = Trials()
    assert lose_twice(trials, DISCOVERY) == DISCOVERY
    assert trials.is_left_out(DISCOVERY, 2.0)
    assert not trials.is_left_out(PICTURE, 2.0)
    assert not trials.careful
    (line,) = trials.left_out(2.0)
    assert line == "the broker does not take h/config (8000 bytes): discovery_prefix: null"
    assert trials.left_out(2.0 + RETRY_S) == []
    assert not trials.is_left_out(DISCOVERY, 2.0 + RETRY_S)
    assert trials.size_limit(2.0) is None, "its size need not be the reason"


def test_of_what_can_be_smaller_the_size_is_the_reason() -> None:
    trials = Trials()
    assert lose_twice(trials, PICTURE) == PICTURE
    assert trials.size_limit(2.0) == 45_000
    assert trials.is_left_out(Trial(name="other", size=45_001, hint="", shrinks=True), 2.0)
    assert not trials.is_left_out(Trial(name=PICTURE.name, size=45_000, hint="", shrinks=True), 2.0)


def test_in_company_nothing_is_left_out_but_all_goes_alone_from_then_on() -> None:
    trials = Trials()
    for order, trial in enumerate((PICTURE, DISCOVERY)):
        assert trials.may_begin()
        trials.begin(trial, order, 0.0)
    assert trials.lost(1.0) is None
    assert trials.careful
    trials.begin(PICTURE, 1, 2.0)
    assert not trials.may_begin()
    trials.proved(1)
    assert trials.may_begin()
    trials.begin(DISCOVERY, 2, 2.0)
    assert trials.lost(3.0) == DISCOVERY
    assert not trials.careful


def test_only_an_answer_to_something_later_is_a_proof() -> None:
    trials = Trials()
    trials.begin(PICTURE, 5, 0.0)
    trials.proved(4)
    assert trials.last_order == 5
    trials.proved(6)
    assert trials.last_order == 0
    assert trials.lost(1.0) is None
    assert not trials.careful


def test_a_broker_that_died_is_no_evidence() -> None:
    trials = Trials()
    for _ in range(5):
        trials.begin(DISCOVERY, 1, 0.0)
        assert trials.lost(1.0) is None
        trials.forgive()  # it could not be reached after that
    assert trials.left_out(2.0) == []


def test_a_loss_with_nothing_on_its_way_is_no_evidence() -> None:
    trials = Trials()
    assert trials.lost(1.0) is None
    assert not trials.careful


def test_a_broker_that_answers_nothing_but_stays_took_it() -> None:
    trials = Trials()
    trials.begin(PICTURE, 1, 0.0)
    trials.lost(1.0)
    trials.connected(2.0)
    trials.begin(PICTURE, 1, 2.0)
    trials.pass_time(2.0 + EXPIRE_S + 1)
    assert trials.last_order == 0
    assert not trials.careful
    trials.begin(PICTURE, 1, 0.0)
    trials.lost(1.0)
    trials.connected(2.0)
    trials.pass_time(2.0 + CLEAR_S + 1)
    assert not trials.careful
