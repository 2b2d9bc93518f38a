from __future__ import annotations

import copy

import httpx
import pytest

from detector.api.control import Document
from support.api import RunningApi, StartApi
from support.control import SECRET

JSON = {"Content-Type": "application/json"}


def put(client: httpx.Client, content: bytes, *, if_match: str = "*", kind: str = "application/json") -> httpx.Response:
    return client.put("/api/config", content=content, headers={"Content-Type": kind, "If-Match": if_match})


def test_the_configuration_is_shown_masked_with_its_tag(free: RunningApi) -> None:
    answer = free.client.get("/api/config")
    assert answer.headers["etag"] == free.control.config_document()[1]
    assert answer.json()["cameras"]["porch"]["source"] == "rtsp://***@10.0.0.4/porch"
    assert SECRET not in answer.text


def test_read_change_write_keeps_the_secrets(window: StartApi) -> None:
    opened = window()
    read = opened.client.get("/api/config")
    document = read.json()
    document["cameras"]["porch"]["detect_fps"] = 5
    written = opened.client.put("/api/config", json=document, headers={"If-Match": read.headers["etag"]})
    assert written.status_code == 200
    assert SECRET not in written.text
    assert written.json()["restart_required"] == []
    assert written.json()["config"]["cameras"]["porch"]["detect_fps"] == 5
    assert written.headers["etag"] == opened.client.get("/api/config").headers["etag"] != read.headers["etag"]
    assert SECRET in opened.control.document["cameras"]["porch"]["source"]


def test_what_needs_a_restart_is_named(window: StartApi) -> None:
    opened = window()
    document = opened.client.get("/api/config").json()
    document["api"]["port"] = 9000
    assert opened.client.put("/api/config", json=document, headers={"If-Match": "*"}).json()["restart_required"] == [
        "api"
    ]


def test_yaml_is_taken_too(window: StartApi) -> None:
    opened = window()
    answer = put(opened.client, b"cameras: {shed: {source: usb://0}}  # new\n", kind="application/yaml; charset=utf-8")
    assert answer.status_code == 200
    assert opened.client.get("/api/config").json() == {"cameras": {"shed": {"source": "usb://0"}}}


def test_of_two_writers_the_second_is_told(window: StartApi) -> None:
    opened = window()
    tag = opened.client.get("/api/config").headers["etag"]
    document = copy.deepcopy(opened.control.document)
    document["cameras"]["porch"]["detect_fps"] = 5
    assert opened.client.put("/api/config", json=document, headers={"If-Match": tag}).status_code == 200
    document["cameras"]["porch"]["detect_fps"] = 7
    for stale in (tag, f"W/{tag}", f'{tag}, "other"', '""', "nonsense"):
        answer = opened.client.put("/api/config", json=document, headers={"If-Match": stale})
        assert answer.status_code == 412
    assert opened.control.document["cameras"]["porch"]["detect_fps"] == 5
    now = opened.client.get("/api/config").headers["etag"]
    assert opened.client.put("/api/config", json=document, headers={"If-Match": f'"x", {now}'}).status_code == 200


@pytest.mark.parametrize("through", ["W/{}", "{}-gzip", "W/{}-br"])
def test_a_proxy_that_changes_the_tag_does_not_make_it_stale(window: StartApi, through: str) -> None:
    opened = window()
    quoted = opened.client.get("/api/config").headers["etag"]
    tag = through.format(quoted[:-1]) + '"'
    answer = opened.client.put("/api/config", json=opened.control.document, headers={"If-Match": tag})
    assert answer.status_code == 200
    newer = {**opened.control.document, "device": {"id": "other"}}
    assert opened.client.put("/api/config", json=newer, headers={"If-Match": "*"}).status_code == 200
    assert opened.client.put("/api/config", json=newer, headers={"If-Match": tag}).status_code == 412


def test_a_blind_write_is_refused(free: RunningApi) -> None:
    answer = free.client.put("/api/config", json={"cameras": {}})
    assert answer.status_code == 428
    assert "If-Match" in answer.json()["error"]


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"cameras": {"porch": {"source": "usb://0", "alert": {"min_scor": 1}}}}, "cameras.porch.alert.min_scor"),
        ({"cameras": {"porch": {"source": "usb://0", "detect_fps": -3}}}, "cameras.porch.detect_fps"),
        ({"cameras": {"p": {"source": "usb://0"}}, "mqtt": {"password": ["topsecret-list"]}}, "mqtt.password"),
        ({"cameras": {"p": {"source": "foo://u:topsecret-url@h"}}}, "cameras.p.source"),
        ({"cameras": {"p": {"source": "usb://0"}}, "mqtt": {"pasword": "topsecret-typo"}}, "mqtt.pasword"),
        ({"cameras": {"p": {"source": "usb://0"}}, "api": {"token": "topsec"}}, "api"),
        ({"cameras": {"p": {"source": "${NOT_SET_ANYWHERE}"}}}, "cameras.p.source"),
        ({}, "cameras"),
    ],
)  # fmt: skip
def test_an_invalid_configuration_names_the_key_and_never_the_value(
    free: RunningApi, document: Document, key: str
) -> None:
    before = copy.deepcopy(free.control.document)
    answer = free.client.put("/api/config", json=document, headers={"If-Match": "*"})
    assert answer.status_code == 422
    assert answer.json()["key"] == key
    assert key in answer.json()["error"]
    assert "topsec" not in answer.text
    assert free.control.document == before


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"", "application/json"),
        (b'{"a": 1, "a": 2}', "application/json"),
        (b'{"a": NaN}', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "application/json"),
        (b"a: [", "application/yaml"),
        (b"a: 1\na: 2", "application/yaml"),
        (b"- a", "application/yaml"),
        (b"? [a]\n: b", "application/yaml"),
        (b"a: !secret x", "application/yaml"),
        (b"a: !!int x", "application/yaml"),
        (b"a: !!map x", "application/yaml"),
        (b"? {a: b}\n: c", "application/yaml"),
        (b"a: !!python/object/apply:os.system [id]", "application/yaml"),
        (b"a: &a [*a]", "application/yaml"),
        (b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
         + b"\n".join(b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]" % (c, c, *[c - 1] * 10)
                      for c in range(ord("b"), ord("k"))), "application/yaml"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_a_400(free: RunningApi, content: bytes, kind: str) -> None:
    answer = put(free.client, content, kind=kind)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert free.client.get("/healthz").status_code == 200


@pytest.mark.parametrize("content", [b"[]", b'"text"', b"null", b"3"])
def test_a_body_that_is_no_mapping_is_a_422(free: RunningApi, content: bytes) -> None:
    assert put(free.client, content).status_code == 422


def test_the_schema_is_the_configurations_own(free: RunningApi) -> None:
    schema = free.client.get("/api/config/schema").json()
    assert set(schema["properties"]) >= {"device", "model", "cameras", "mqtt", "alarm", "api", "data_dir"}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"cameras": {"porch": {"source": "/etc/passwd"}}}, "cameras.porch.source"),
        ({"cameras": {"porch": {"source": "http://127.0.0.1/"}}}, "cameras.porch.source"),
        ({"cameras": {"porch": {"source": "rtsp://***@10.9.9.9/porch"}}}, "cameras.porch.source"),
        ({"cameras": {"porch": {"source": "rtsp://u:${HOME}@10.0.0.4/porch"}}}, "cameras.porch.source"),
        ({"data_dir": "/tmp/elsewhere"}, "data_dir"),
        ({"model": {"name": "/etc/passwd"}}, "model.name"),
        ({"mqtt": {"topic_prefix": "a\u0001b"}}, "mqtt.topic_prefix"),
    ],
)
def test_what_only_the_file_may_hold_is_a_422_that_names_the_key(free: RunningApi, change: Document, key: str) -> None:
    before = copy.deepcopy(free.control.document)
    document = {**free.client.get("/api/config").json(), **change}
    answer = free.client.put("/api/config", json=document, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["key"]) == (422, key)
    assert SECRET not in answer.text
    assert free.control.document == before
