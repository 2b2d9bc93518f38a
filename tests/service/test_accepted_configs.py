"""Whatever the validation and PUT /api/config accept can start: a real broker, a real login, real topics."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.alerts.topics import Topics
from detector.api.app import create_app
from detector.api.server import ApiServer
from detector.config import document as configfile
from detector.config.remote import accepted
from detector.config.schema import Config
from detector.core.errors import ConfigError
from detector.core.types import Message
from detector.mqtt.broker.server import EmbeddedBroker
from detector.mqtt.client import probe, settings_of
from detector.mqtt.connection import check_message
from support.control import MemoryControl

CURRENT: dict[str, Any] = {
    "cameras": {"a": {"source": "usb://0"}},
    "api": {"port": 0},
    "mqtt": {"embedded": {"port": 0}},
}
ODD = st.text(
    st.one_of(
        st.sampled_from("\0\n\r\x01\x7f\x85\u2028\ufffe\U0001f600+#/$ é\"'<>%"),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=12,
)
HOSTS = st.one_of(
    st.sampled_from(("127.0.0.1", "localhost", "::1", "192.0.2.9", "999.1.1.1", "a b", "0x7f.1", "x" * 70)), ODD
)


def started(config: Config) -> None:
    broker = EmbeddedBroker(
        host=config.mqtt.embedded.host, port=0, username=config.mqtt.username, password=config.mqtt.password
    )
    stop = threading.Event()
    thread = threading.Thread(target=broker.run, args=(stop,))
    thread.start()
    try:
        broker.wait_started(5.0)
        probe(settings_of(config, password=config.mqtt.password, embedded_port=broker.port))
    finally:
        stop.set()
        thread.join()
    topics = Topics(config.mqtt.topic_prefix)
    for topic in (
        topics.available,
        topics.alerts,
        topics.person("a"),
        f"{config.mqtt.discovery_prefix}/device/x/config",
    ):
        check_message(Message(topic=topic, payload=b"", qos=1, retain=False))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "topic_prefix": ODD, "discovery_prefix": ODD, "username": ODD, "password": ODD, "client_id": ODD,
            "embedded": st.fixed_dictionaries({"port": st.just(0), "host": HOSTS}),
        },
    ),
)  # fmt: skip
def test_an_accepted_mqtt_section_starts(mqtt: dict[str, Any]) -> None:
    document = {**CURRENT, "mqtt": {"embedded": {"port": 0}, **mqtt}}
    try:
        config = configfile.validate(accepted(document, CURRENT), {})
    except ConfigError:
        return
    started(config)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTS, st.one_of(st.none(), ODD.map(lambda text: text * 8)))
def test_an_accepted_api_section_starts(host: str, token: str | None) -> None:
    document = {**CURRENT, "api": {"port": 0, "host": host, "token": token}}
    try:
        config = configfile.validate(accepted(document, CURRENT), {})
    except ConfigError:
        return
    app = create_app(MemoryControl(), settings=config.api, config_schema={})
    server = ApiServer(app=app, host=config.api.host, port=0)
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    try:
        server.wait_started(5.0)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "prefix", ["a\0b", "a\nb", "a\x01b", "a\x7fb", "a\x85b", "a\ufffeb", "a\u2028b", "a+b", "#", "/a", "a/", "$SYS"]
)
@pytest.mark.parametrize("key", ["topic_prefix", "discovery_prefix"])
def test_a_prefix_that_no_broker_takes_is_refused(key: str, prefix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configfile.validate({**CURRENT, "mqtt": {key: prefix}}, {})
    assert caught.value.key == f"mqtt.{key}"


def test_two_listeners_on_one_port_are_refused() -> None:
    with pytest.raises(ConfigError, match="give them different ports"):
        configfile.validate({**CURRENT, "api": {"port": 9000}, "mqtt": {"embedded": {"port": 9000}}}, {})


@pytest.mark.parametrize(
    ("key", "value", "is_fine"),
    [
        ("public_url", "https://cam.example/detector/", True),
        ("public_url", "http://10.0.0.2:8080", True),
        ("public_url", "http://[fd00::1]:8080/x", True),
        ("public_url", None, True),
        ("public_url", "ftp://x", False),
        ("public_url", "http://u:p@h/", False),
        ("public_url", "http://h/?a=1", False),
        ("public_url", "http://h:99999/", False),
        ("public_url", "javascript:alert(1)", False),
        ("public_url", "http://h/\r\nX: y", False),
        ("frame_ancestors", ["http://ha:8123", "https://ha.example"], True),
        ("frame_ancestors", [], True),
        ("frame_ancestors", ["http://ha:8123/"], False),
        ("frame_ancestors", ["*"], False),
        ("frame_ancestors", ["http://ha; script-src *"], False),
        ("frame_ancestors", ["http://ha:0"], False),
        ("frame_ancestors", "http://ha", False),
        ("trusted_proxies", ["172.30.32.2", "10.0.0.0/8", "fd00::/8"], True),
        ("trusted_proxies", ["10.0.0.1/8"], False),
        ("trusted_proxies", ["proxy.lan"], False),
        ("trusted_proxies", ["*"], False),
        ("trusted_proxies", "10.0.0.2", False),
        ("snapshot_url_s", 0, True),
        ("snapshot_url_s", -1, False),
        ("snapshot_url_s", 10_000_000, False),
    ],
)
def test_addresses_of_the_page(key: str, value: Any, is_fine: bool) -> None:
    document = {**CURRENT, "api": {key: value}}
    if is_fine:
        configfile.validate(document, {})
        return
    with pytest.raises(ConfigError) as caught:
        configfile.validate(document, {})
    assert caught.value.key.startswith(f"api.{key}")
