from __future__ import annotations

import pytest

from detector.capture.mjpeg.connection import parse


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://10.0.0.4/video", "10.0.0.4", 80, "/video"),
        ("https://10.0.0.4/video?a=1", "10.0.0.4", 443, "/video?a=1"),
        ("http://cam.example:8081", "cam.example", 8081, "/"),
        ("http://u:p%40w@cam.example/x#part", "cam.example", 80, "/x"),
        ("http://[fd00::4]/x", "fd00::4", 80, "/x"),
        ("http://u:a:b@[fd00::4]:8080/x", "fd00::4", 8080, "/x"),
    ],
)
def test_the_parts_of_a_url(url: str, host: str, port: int, path: str) -> None:
    target = parse(url)
    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize(
    "url", ["rtsp://10.0.0.4/x", "http://", "http://host:0/", "http://host:99999/", "http://a:b:c/"]
)
def test_what_is_no_http_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="not an HTTP URL"):
        parse(url)


@pytest.mark.parametrize(
    ("location", "user"),
    [
        ("/other", "cam"),
        ("https://10.0.0.4/other", "cam"),  # TLS, where it was none
        ("http://10.0.0.4:8080/other", None),  # another service of that host
        ("http://10.0.0.5/other", None),
        ("http://guest:g@10.0.0.5/other", "guest"),
    ],
)
def test_a_redirect_takes_the_password_along_to_the_same_place_alone(location: str, user: str | None) -> None:
    assert parse("http://cam:secret@10.0.0.4/video").redirected(location).user == user


def test_a_redirect_from_tls_to_none_takes_no_password_along() -> None:
    assert parse("https://cam:secret@10.0.0.4:8443/video").redirected("http://10.0.0.4:8443/x").user is None
