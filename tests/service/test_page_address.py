"""H9: the link that Home Assistant shows as "Visit" leads to the page, or there is none."""

from __future__ import annotations

from typing import Any

import pytest

from detector.alerts.discovery import Discovery
from detector.alerts.topics import Topics
from detector.config.schema import Api
from detector.core.types import Message
from detector.service.announcer import Announcer
from detector.service.page_address import page_address
from support.service import make_store

TOKEN = "correct-horse"
OUR = "192.168.1.20"


@pytest.mark.parametrize(
    ("api", "towards_broker", "address"),
    [
        ({}, OUR, None),
        ({"host": "localhost"}, OUR, None),
        ({"host": "::1"}, OUR, None),
        ({"host": "0.0.0.0"}, OUR, f"http://{OUR}:8099/"),
        ({"host": "::"}, OUR, f"http://{OUR}:8099/"),
        ({"host": "::"}, "::ffff:10.0.0.2", "http://10.0.0.2:8099/"),
        ({"host": "::"}, "fd00::7", "http://[fd00::7]:8099/"),
        ({"host": "::"}, "fe80::7%eth0", None),
        ({"host": "0.0.0.0"}, "fd00::7", None),
        ({"host": "0.0.0.0"}, "127.0.0.1", None),
        ({"host": "::"}, "::1", None),
        ({"host": "0.0.0.0"}, None, None),
        ({"host": "10.1.2.3"}, OUR, "http://10.1.2.3:8099/"),
        ({"host": "jetson.lan"}, None, "http://jetson.lan:8099/"),
        ({"public_url": "https://cam.example/detector"}, None, "https://cam.example/detector/"),
        ({"public_url": "https://cam.example/detector/", "host": "0.0.0.0"}, OUR, "https://cam.example/detector/"),
    ],
)  # fmt: skip
def test_h9_the_page_as_others_reach_it(api: dict[str, Any], towards_broker: str | None, address: str | None) -> None:
    settings = Api(token=TOKEN, **api)  # type: ignore[arg-type]  # pydantic makes a secret of it
    assert page_address(settings, port=8099, towards_broker=towards_broker) == address


def test_h9_it_is_announced_again_when_it_becomes_known_or_changes() -> None:
    ours: list[str | None] = [None]
    sent: list[Message] = []
    store = make_store()
    discovery = Discovery(
        topics=Topics("p"), send=lambda message, _hint: sent.append(message), saved=None, save=lambda _n, _d: None
    )
    announcer = Announcer(
        discovery=discovery,
        restate=lambda: None,
        store=store,
        api=Api(host="0.0.0.0", token=TOKEN),  # type: ignore[arg-type]
        towards_broker=lambda: ours[0],
    )
    announcer.connected()
    assert sent == [], "the start announces, once all is there"
    announcer.api_port = 8080
    announcer.announce()
    assert b"configuration_url" not in sent[-1].payload
    ours[0] = OUR
    announcer.connected()
    assert b'"configuration_url":"http://192.168.1.20:8080/"' in sent[-1].payload
    count = len(sent)
    announcer.connected()
    assert len(sent) == count
    ours[0] = "192.168.1.77"
    announcer.connected()
    assert b"http://192.168.1.77:8080/" in sent[-1].payload
