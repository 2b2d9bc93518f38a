from __future__ import annotations

import io
import logging

import pytest

from detector.core.redact import RedactingFilter, Redactor, redact, redact_urls, userinfo_secrets

HARD = [
    "rtsp://cam:secret9@10.0.0.4/stream1",
    "rtsp://cam.admin:secret9@host/1",
    "rtsp://user%40corp:secret9@host/1",
    "rtsp://:secret9@host/1",
    "rtsp://cam:sec:secret9@host/1",
    "rtsp://cam:p@secret9@host/1",
    "rtsps://secret9@host:322/1",
    "http://host/video?user=admin&pwd=secret9",
    "http://host/video?x=1&PASSWORD=secret9#top",
]


@pytest.mark.parametrize("url", HARD)
def test_urls_lose_their_secrets_inside_any_sentence(url: str) -> None:
    text = redact_urls(f"cannot open '{url}': refused, and {url} again")
    assert "secret9" not in text
    assert "cannot open" in text
    assert "again" in text


def test_an_address_without_credentials_stays_as_it_is() -> None:
    assert redact_urls("rtsp://host:554/a@b and mail@example.org") == "rtsp://host:554/a@b and mail@example.org"


def test_learnt_secrets_go_wherever_they_stand_encoded_ones_too() -> None:
    redactor = Redactor()
    redactor.learn("pa ss/wörd", None, "", "ab")
    assert redactor("x pa ss/wörd y pa%20ss%2Fw%C3%B6rd z ab") == "x *** y *** z ab"


def test_the_longer_of_two_nested_secrets_goes_whole() -> None:
    redactor = Redactor()
    redactor.learn("hunter")
    redactor.learn("hunter2000")
    assert redactor("hunter2000 hunter") == "*** ***"


def test_userinfo_gives_the_password_raw_and_decoded() -> None:
    assert {"p%40ss", "p@ss"} <= userinfo_secrets("rtsp://u:p%40ss@host/1")
    assert userinfo_secrets("rtsp://host/1") == set()


def test_log_records_are_masked_with_arguments_and_traceback() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("test-redact")
    logger.addHandler(handler)
    redact.learn("tellnobody")
    try:
        raise ValueError("rtsp://u:topsecret@h/1 tellnobody")  # noqa: TRY301 - the traceback is what is tested
    except ValueError:
        logger.exception("open %s", "rtsp://u:topsecret@h/1")
    assert "topsecret" not in stream.getvalue()
    assert "tellnobody" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()
