from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.config.variables import expand
from detector.core.errors import ConfigError
from detector.core.redact import redact
from detector.core.urls import split_url


def filled(text: str, key: str = "source", **environment: str) -> str:
    result: str = expand({"cameras": {"a": {key: text}}}, environment)["cameras"]["a"][key]
    return result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${PW}", "p-w"),
        ("${PW:-abc}", "p-w"),
        ("${NONE:-abc}", "abc"),
        ("${NONE:-}", ""),
        ("${EMPTY:-abc}", "abc"),
        ("${EMPTY}", ""),
        ("a$$b", "a$b"),
        ("$${PW}", "${PW}"),
        ("$$$$", "$$"),
        ("cost 5$", "cost 5$"),
        ("$9 and $", "$9 and $"),
        ("x${PW}y${PW}", "xp-wyp-w"),
    ],
)
def test_c2_the_known_spellings(text: str, result: str) -> None:
    assert filled(text, key="name", PW="p-w", EMPTY="") == result


@pytest.mark.parametrize("is_set", [True, False])
@pytest.mark.parametrize(
    "spelling",
    [
        "$PW",
        "{FRIGATE_PW}",
        "{{PW}}",
        "{{ PW }}",
        "$(PW)",
        "${PW",
        "${PW-abc}",
        "${PW:?no}",
        "${}",
        "${P W}",
        "${1PW}",
        "%PW%",
        "%(PW)s",
        "{% PW %}",
        "${PW:-${OTHER}}",
        "${PW:-$OTHER}",
        "$$$PW",
        "{PW}",
    ],
)
def test_c2_other_spellings_of_a_variable_are_refused_by_key(spelling: str, is_set: bool) -> None:
    environment = {"PW": "abc", "FRIGATE_PW": "abc", "OTHER": "abc"} if is_set else {}
    for text in (f"rtsp://u:{spelling}@h/s", spelling):
        with pytest.raises(ConfigError, match=r"variable") as caught:
            filled(text, **environment)
        assert caught.value.key == "cameras.a.source"
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["gst:videotestsrc ! video/x-raw,format={NV12,I420} ! appsink", "rtsp://u:p%41B%42@h/1", "a{b}c", "100%"]
)
def test_what_only_resembles_one_is_left_alone(text: str) -> None:
    assert filled(text) == text


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cameras\.a\.source: the environment variable NOPE is not set"):
        filled("rtsp://u:${NOPE}@h/1")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r\n"])
def test_c3_a_line_end_behind_a_value_is_dropped(end: str) -> None:
    assert filled("rtsp://u:${PW}@h/s", PW=f"secret{end}") == "rtsp://u:secret@h/s"
    assert filled("${PW}", key="password", PW=f"two words{end}") == "two words"
    assert "two words" not in redact("it is two words")


@settings(deadline=None)  # the machine may be busy
@given(st.text(min_size=1, max_size=40).filter(lambda text: text == text.rstrip("\r\n") and text.isprintable()))
def test_r3_any_password_in_a_variable_works(password: str) -> None:
    for form in ("rtsp://cam:${PW}@10.0.0.4:554/1", "rtsp://${USER}:${PW}@10.0.0.4:554/1"):
        split = split_url(filled(form, PW=password, USER="cam"))
        assert split is not None
        assert (split.user, split.password, split.place, split.rest) == ("cam", password, "10.0.0.4:554", "/1")


@pytest.mark.parametrize("password", ["a&b=9xyz", "my pass", "p#ss", "100%", "%41bc", "ü/?;+"])
def test_r3_any_password_in_a_variable_works_as_a_parameter_too(password: str) -> None:
    for form in ("http://10.0.0.4/cgi?usr=cam&pwd=${PW}&n=1", "http://10.0.0.4/cgi?n=1&usr=cam&pwd=${PW}"):
        url = filled(form, PW=password)
        assert parse_qs(urlsplit(url).query) == {"usr": ["cam"], "pwd": [password], "n": ["1"]}
        assert redact(url) == redact(form).replace("${PW}", "***")
    assert filled("http://10.0.0.4/cgi?${QUERY}", QUERY="a=1&b=2") == "http://10.0.0.4/cgi?a=1&b=2"
    assert filled("gst:souphttpsrc location=http://h/x?pwd=${PW} ! x", PW="a&b").endswith("pwd=a&b ! x")


def test_a_variable_may_hold_user_and_password_or_the_whole_url() -> None:
    split = split_url(filled("rtsp://${LOGIN}@10.0.0.4/1", LOGIN="cam:a/b:c"))
    assert split is not None
    assert (split.user, split.password) == ("cam", "a/b:c")
    assert filled("${URL}", URL="rtsp://cam:p%40w@h/1") == "rtsp://cam:p%40w@h/1"
    assert filled("rtsp://cam:x@${HOST}/1", HOST="10.0.0.4") == "rtsp://cam:x@10.0.0.4/1"


def test_the_redactor_learns_what_is_secret_and_no_address() -> None:
    filled("rtsp://cam:${A}@${HOST}/${KEY_OF_STREAM}", A="learnt-one", HOST="cam-7.example", KEY_OF_STREAM="learnt-two")
    filled("${URL}", URL="rtsp://cam:learnt-three@cam-8.example/1")
    filled("${X}", key="token", X="learnt-four")
    shown = redact("learnt-one learnt-two learnt-three learnt-four cam-7.example cam-8.example")
    assert shown == "*** *** *** *** cam-7.example cam-8.example"
