from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Callable
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from detector.core.redact import RedactingFilter, Redactor, redact, redact_urls, shown_source
from detector.core.urls import secrets_in

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
    "rtsp://cam:ab/secret9@10.0.0.4/1",
    "rtsp://cam:ab secret9@10.0.0.4/1",
    "rtsp://cam:ab'secret9@10.0.0.4/1",
    'rtsp://cam:ab"secret9@10.0.0.4/1',
    "rtsp://cam:<secret9>@10.0.0.4/1",
    "rtsp://cam:12/secret9@10.0.0.4/1",
    "rtsp://cam:a@b/secret9@10.0.0.4/1",
    "http://host/cgi?loginuse=admin&loginpas=secret9&next=1",
    "http://host/cgi?psw=secret9",
    "http://host/cgi?a=1&access_token=secret9",
    "http://host/cgi?api_key=secret9&a=1",
    "http://host/cgi?token=secret9",
    "rtsp://host/user=admin_password=secret9_channel=1_stream=0.sdp",
    "gst:rtspsrc location=rtsp://host/1 user-id=admin user-pw=secret9 ! decodebin",
    "gst:rtspsrc location=rtsp://host/1 user-pw=\"a secret9\" user-id='secret9' ! decodebin",
]


@pytest.mark.parametrize("source", HARD)
def test_a_source_is_shown_without_its_secrets(source: str) -> None:
    assert "secret9" not in shown_source(source)
    assert "host" in shown_source(source) or "10.0.0.4" in shown_source(source)


@pytest.mark.parametrize("source", HARD)
def test_a_sources_secrets_are_masked_out_of_their_place(source: str) -> None:
    redactor = Redactor()
    redactor.learn_source(source)
    secrets = {secret for secret in secrets_in(source) if "secret9" in secret}
    assert secrets
    for secret in secrets:
        assert redactor(f"it is {secret} now") == f"it is {'//***@' if secret.startswith('//') else '***'} now"


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


ODD = "/?#@:%&=+ '\"<>\\{}$`|^~;,!*()[]\t\r\n"
PASSWORDS = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=40)
FRAME = "camera porch: cannot open {} (errno 7)"


def leaks(password: str, text: str) -> bool:
    """Whether the password is in `text`, raw or percent-encoded; blanks count as one, as on an error's one line."""
    plain = " ".join(password.split())
    forms = {plain, quote(password, safe=""), quote(password), json.dumps(password)[1:-1], escape(password)}
    return any(form in " ".join(text.split()) for form in forms if form)


@example("00\\\U00010000")  # after a backslash: one character, escaped as two
@settings(deadline=None)  # the machine may be busy
@given(PASSWORDS)
def test_no_password_gets_out_of_a_sentence(password: str) -> None:
    assume(len(password.strip()) >= 4)
    assume(not leaks(password, FRAME.format("***")))
    redactor = Redactor()
    redactor.learn(password)
    for form in (password, quote(password), quote(password, safe="").lower(), json.dumps(password), repr(password)):
        assert not leaks(password, redactor(FRAME.format(form)))
        assert redactor(FRAME.format(form)).startswith("camera porch: cannot open")


@settings(deadline=None)  # the machine may be busy
@given(
    PASSWORDS, st.sampled_from(("rtsp://{}@10.0.0.4:554/1", "http://{}@cam.example/v?x=1", "rtsps://{}@[fe80::1]/1"))
)
def test_no_password_gets_out_of_its_url(password: str, form: str) -> None:
    assume(password.strip())
    assume(
        not leaks(password, "'rtsp://***@10.0.0.4 https://***@[fe80::1]:554 cam.example/v?x=1' and mail me@example.org")
    )
    for written in (password, quote(password, safe="")):
        url = form.format(f"cam:{written}")
        redactor = Redactor()
        redactor.learn_source(url)
        for text in (url, f"cannot open {url}: refused", f"'{url}' and mail to me@example.org", " ".join(url.split())):
            shown = redactor(text)
            assert f"cam:{written.strip()}" not in shown
            assert not (len(password.strip()) >= 4 and leaks(password, shown))
        assert "cam:" not in shown_source(url)


@pytest.mark.parametrize("password", ["a", "ab", "e1", "porch"[:3]])
def test_a_short_password_is_masked_in_its_place_and_leaves_other_text_alone(password: str) -> None:
    redactor = Redactor()
    redactor.learn(password)
    redactor.learn_source(f"rtsp://cam:{password}@10.0.0.4/1")
    assert redactor("camera porch is absent, error e1") == "camera porch is absent, error e1"
    assert redactor(f"open rtsp://cam:{password}@10.0.0.4/1") == "open rtsp://***@10.0.0.4/1"


def test_documents_keep_their_keys_and_fixed_words() -> None:
    redactor = Redactor()
    redactor.learn("online", "error")
    document = {"error": "is online", "state": "online", "list": ["online", 3, None], "n": {"online": True}}
    assert redactor.document(document) == {
        "error": "is ***",
        "state": "online",
        "list": ["***", 3, None],
        "n": {"online": True},
    }


def test_a_record_that_cannot_be_formatted_is_still_masked(caplog: pytest.LogCaptureFixture) -> None:
    redact.learn("unformattable-secret")
    record = logging.LogRecord("x", logging.INFO, "", 0, "%d of it", ("unformattable-secret",), None)
    assert RedactingFilter().filter(record)
    assert "unformattable-secret" not in record.getMessage()


def test_masking_a_long_status_takes_no_time() -> None:
    redactor = Redactor()
    redactor.learn(*(f"secret-number-{i}" for i in range(64)))
    text = "camera porch is offline: rtsp://***@10.0.0.4/1: no answer within 5 s; " * 100
    began = time.perf_counter()
    redactor(text)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("escaped", [json.dumps, repr, ascii], ids=["json", "repr", "ascii"])
def test_a_secret_is_masked_however_often_it_was_escaped(escaped: Callable[[str], str], times: int) -> None:
    """As in the repr of an exception that quotes a JSON document."""
    redactor, text = Redactor(), "\\odd \"'/\u00e4\u2028\U0001f600\n secret9"
    redactor.learn(text)
    for _ in range(times):
        text = escaped(text)
    masked = redactor(f"before {text} after")
    assert "secret9" not in masked
    assert "***" in masked
    assert masked.startswith("before")


_ROW = re.compile(r"\\+")


@pytest.mark.parametrize("secret", ["\\" * 8 + "end", "\\'" * 8 + "end", "\\\"\\'" * 4 + "end"])
def test_a_password_of_many_backslashes_takes_no_time(secret: str) -> None:
    """Against text in which each of them has ten ways to be matched: without end if they multiplied."""
    redactor = Redactor()
    redactor.learn(secret)
    other = f"a{re.sub(_ROW, lambda _row: chr(92) * 10, secret)[:-3]}z" * 3
    assert redactor(other) == other
    for text in (secret, repr(secret), json.dumps(json.dumps(secret))):
        assert "end" not in redactor(f"the word {text} is")
