"""Row 15: five wrong tokens a minute and address, then 429; one log line a minute; a right token always gets in."""

from __future__ import annotations

import logging

import pytest

from detector.api import guess_limit
from detector.api.guess_limit import GuessLimit
from support.api import TOKEN, StartApi


def test_night_15_five_a_minute_and_each_address_for_itself() -> None:
    now = [1000.0]
    limit = GuessLimit(now=lambda: now[0])
    assert [limit.wrong("192.0.2.1") for _ in range(7)] == [0] * 5 + [60, 60]
    assert limit.wrong("192.0.2.2") == 0
    now[0] += 59.5
    assert limit.wrong("192.0.2.1") == 1
    now[0] += 0.5
    assert [limit.wrong("192.0.2.1") for _ in range(6)] == [0] * 5 + [60]
    assert limit.total == 15


def test_night_15_few_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guess_limit, "_MAX_PEERS", 3)
    limit = GuessLimit(now=lambda: 5.0)
    for _ in range(6):
        limit.wrong("192.0.2.1")
    for number in range(2, 5):
        limit.wrong(f"192.0.2.{number}")
    assert len(limit._peers) == 3
    assert limit.wrong("192.0.2.1") == 0, "the one that was quiet longest was forgotten"


def test_night_15_guesses_are_refused_and_a_right_token_is_not(
    window: StartApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    client = window(token=TOKEN).client
    wrong = [client.get("/api/status", headers={"Authorization": f"Bearer guess-{n}"}) for n in range(20)]
    assert [answer.status_code for answer in wrong] == [401] * 5 + [429] * 15
    assert 50 <= int(wrong[-1].headers["Retry-After"]) <= 60
    assert "guess" not in wrong[-1].text
    for headers in ({"X-API-Key": "guess"}, {"Authorization": "Basic Z3Vlc3M6Z3Vlc3M="}):
        assert client.get("/api/status", headers=headers).status_code == 429
    assert client.get("/healthz", headers={"X-API-Key": "guess"}).status_code == 200, "counted, but a probe is answered"
    assert client.post("/api/session", json={"token": "guess-again"}).status_code == 429
    assert client.get("/api/status").status_code == 401, "no token is no guess"
    assert client.get("/healthz").status_code == 200
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/status", headers=right).status_code == 200
    assert "detector_api_wrong_tokens_total 24.0" in client.get("/metrics", headers=right).text
    assert client.post("/api/session", json={"token": TOKEN}).status_code == 204
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["API: a wrong token from 127.0.0.1 (1 so far, one line a minute)"]


def test_night_15_a_proxys_own_login_is_no_guess_on_the_open_pages(window: StartApi) -> None:
    client = window(token=TOKEN).client
    for _ in range(8):
        assert client.get("/", headers={"Authorization": "Basic Z3Vlc3M6Z3Vlc3M="}).status_code == 200
    assert client.get("/api/status", headers={"X-API-Key": "old"}).status_code == 401
