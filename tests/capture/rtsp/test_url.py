from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.capture.rtsp.url import controlled, parse


def test_the_parts_of_a_url() -> None:
    target = parse("RTSP://cam:p%40s%2Fs%3Aw@10.0.0.4:8554/Streaming/Channels/1?a=b&c=d")
    assert (target.host, target.port, target.secure) == ("10.0.0.4", 8554, False)
    assert (target.user, target.password) == ("cam", "p@s/s:w")
    assert target.request == "rtsp://10.0.0.4:8554/Streaming/Channels/1?a=b&c=d"
    assert "p@s" not in repr(target)
    assert "cam" not in repr(target)


@pytest.mark.parametrize(
    ("url", "place", "request_url"),
    [
        ("rtsp://h/a", ("h", 554, False), "rtsp://h:554/a"),
        ("rtsps://h", ("h", 322, True), "rtsps://h:322"),
        ("rtsp://[fe80::1]/a", ("fe80::1", 554, False), "rtsp://[fe80::1]:554/a"),
        ("rtsp://[::1]:8554/a", ("::1", 8554, False), "rtsp://[::1]:8554/a"),
        ("rtsp://u:p@ss@h/a", ("h", 554, False), "rtsp://h:554/a"),
        ("rtsp://h:554/a#part", None, None),
    ],
)
def test_ports_and_hosts(url: str, place: tuple[str, int, bool] | None, request_url: str | None) -> None:
    if place is None:
        with pytest.raises(ValueError, match="not an RTSP URL"):
            parse(url)
        return
    target = parse(url)
    assert (target.host, target.port, target.secure) == place
    assert target.request == request_url


@pytest.mark.parametrize(
    "url", ["http://h/", "rtsp://", "rtsp://h:0/", "rtsp://h:99999/", "rtsp://h/a b", "rtsp://h/\r\nX"]
)
def test_what_is_no_rtsp_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not an RTSP URL"):
        parse(url)


@pytest.mark.parametrize(
    "password",
    ["p#ss9", "wh?t9", "ab/cd9", "my pass9", "it's9", 'say"9', "a@b", "100%", "pässwörd", "<x>", "a:b", "\u200b9"],
)
def test_r3_a_password_works_raw_and_encoded(password: str) -> None:
    for written in (password, quote(password, safe="")):
        target = parse(f"rtsp://admin:{written}@127.0.0.1:8554/s")
        assert (target.user, target.password) == ("admin", password)
        assert (target.host, target.port, target.request) == ("127.0.0.1", 8554, "rtsp://127.0.0.1:8554/s")


@pytest.mark.parametrize(
    ("base", "control", "whole"),
    [
        ("rtsp://h/live", "track1", "rtsp://h/live/track1"),
        ("rtsp://h/live/", "track1", "rtsp://h/live/track1"),
        ("rtsp://h/live/", "/track1", "rtsp://h/live/track1"),
        ("rtsp://h/live?ch=1", "track1", "rtsp://h/live?ch=1/track1"),
        ("rtsp://h/live", "*", "rtsp://h/live"),
        ("rtsp://h/live/", "", "rtsp://h/live/"),
        ("rtsp://h/live", "RTSP://10.0.0.4/other", "RTSP://10.0.0.4/other"),
    ],
)
def test_a_control_attribute_extends_the_base(base: str, control: str, whole: str) -> None:
    assert controlled(base, control) == whole


def test_the_user_goes_along_to_the_same_host_only() -> None:
    here = parse("rtsps://cam:pw@h/a")
    assert here.redirected("rtsps://h:9/b").user == "cam"
    assert here.redirected("rtsps://h:9/b").password == "pw"
    assert here.redirected("rtsps://elsewhere/b").user is None
    assert here.redirected("rtsp://h/b").user is None  # never in the open what was under TLS
    assert here.redirected("rtsps://o:wn@elsewhere/b").user == "o"


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    for url in (text, "rtsp://" + text):
        with contextlib.suppress(ValueError):
            target = parse(url)
            assert 0 < target.port < 65536
            assert "\n" not in target.request
            assert "\r" not in target.request
