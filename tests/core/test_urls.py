from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.core.urls import split_url

RAW = ["p#ss9", "wh?t9", "ab/cd9", "my pass9", "it's9", 'say"9', "a@b", "100%", "pässwörd", "<x>", "p:w", "p@s:s/w#x"]


@pytest.mark.parametrize("password", RAW)
@pytest.mark.parametrize("place", ["10.0.0.4", "cam.example:8554", "[fe80::1]:554", "cam"])
def test_a_password_is_understood_raw_and_encoded(password: str, place: str) -> None:
    for written in (password, quote(password, safe="")):
        split = split_url(f"rtsp://admin:{written}@{place}/live?x=1")
        assert split is not None
        assert (split.user, split.password, split.place) == ("admin", password, place)
        assert split.rest == "/live?x=1"
        assert not split.ambiguous
        again = split_url(split.encoded)
        assert again is not None
        assert again.password == password
        assert password not in repr(split)


@pytest.mark.parametrize(
    "url", ["rtsp://admin:12/34@10.0.0.4/s", "rtsp://u:a@b/c@10.0.0.4/s", "http://cam:80/a@b/c", "rtsp://u:p@c?d@h.i/s"]
)
def test_two_readings_are_seen(url: str) -> None:
    split = split_url(url)
    assert split is not None
    assert split.ambiguous


@pytest.mark.parametrize("url", ["rtsp://host:554/a@b", "rtsp://host/1", "http://u:p@host/x?mail=a@b.com", "rtsp://h"])
def test_one_reading_is_no_riddle(url: str) -> None:
    split = split_url(url)
    assert split is not None
    assert not split.ambiguous


@pytest.mark.parametrize("text", ["", "host", "rtsp://", "rtsp:///x", "rtsp://u:p@", "rtsp://u:p#x"])
def test_what_has_no_host_is_no_url(text: str) -> None:
    assert split_url(text) is None


@settings(deadline=None)  # the machine may be busy
@given(st.text(min_size=1, max_size=40), st.text(max_size=10))
def test_every_encoded_password_comes_back(password: str, user: str) -> None:
    written = f"{quote(user, safe='', errors='replace')}:{quote(password, safe='', errors='replace')}"
    split = split_url(f"rtsp://{written}@10.0.0.4/1")
    assert split is not None
    assert split.password.encode(errors="replace") == password.encode(errors="replace")
    assert split.encoded == f"rtsp://{written}@10.0.0.4/1"
