from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from detector.config import document as configfile
from detector.config.remote import accepted
from detector.core.errors import ConfigError

CURRENT: dict[str, Any] = {
    "x-note": {"mine": 1},
    "cameras": {
        "porch": {"source": "rtsp://cam:pas#s9@10.0.0.4/stream1"},
        "shed": {"source": "/media/clip.mp4"},
        "barn": {"source": "rtsp://cam:${BARN_PW}@10.0.0.6:8554/1"},
        "gate": {"source": "${GATE_URL}"},
        "loop": {"source": "http://127.0.0.1:8081/video"},
        "gst": {"source": "gst:rtspsrc location=rtsp://10.0.0.7/1 user-pw=gst-secret ! decodebin"},
    },
    "model": {"name": "/srv/models/own.onnx"},
    "mqtt": {"broker": "mqtt://10.0.0.2", "username": "ha", "password": "mqtt-secret", "ca_file": "/etc/ca.pem"},
    "api": {
        "token": "api-token-9",
        "allowed_sources": ["/media/*.mp4", "gst:videotestsrc*", "http://127.0.0.1:9000/*"],
    },
    "data_dir": "/var/lib/detector",
}


def sent(**changes: Any) -> dict[str, Any]:
    """What a client sends that read the configuration and changed keys of it: cameras__porch__source=..."""
    document = configfile.masked(copy.deepcopy(CURRENT))
    for path, value in changes.items():
        *parents, last = path.split("__")
        section = document
        for part in parents:
            section = section.setdefault(part, {})
        if value is ...:
            section.pop(last, None)
        else:
            section[last] = value
    return document


def refused(key: str, current: dict[str, Any] = CURRENT, **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        accepted(sent(**changes), current)
    assert caught.value.key == key
    text = str(caught.value)
    for secret in ("pas#s9", "mqtt-secret", "gst-secret", "api-token-9"):
        assert secret not in text
    assert "\n" not in text
    return text


def test_what_the_file_holds_may_stay() -> None:
    assert accepted(sent(), CURRENT) == CURRENT
    assert accepted(sent(device={"name": "New"}), CURRENT) == {**CURRENT, "device": {"name": "New"}}


def test_keys_for_anchors_stay_though_a_client_leaves_them_out() -> None:
    assert accepted(sent(**{"x-note": ...}), CURRENT)["x-note"] == {"mine": 1}


@pytest.mark.parametrize(
    "source",
    ["rtsp://10.0.0.9/1", "rtsps://u:p@cam.example/1", "rtsp://127.0.0.1:8554/1", "http://10.0.0.9/video", "usb://0",
     "https://cam.example/v?pwd=mine", "csi://1", "/dev/video2", "/media/other.mp4", "gst:videotestsrc ! x",
     "http://127.0.0.1:9000/a"],
)  # fmt: skip
def test_a_camera_may_be_set_to(source: str) -> None:
    assert accepted(sent(cameras__new={"source": source}), CURRENT)["cameras"]["new"]["source"] == source


@pytest.mark.parametrize(
    "source",
    ["/etc/passwd", "clip.mp4", "file:///etc/passwd", "gst:filesrc location=/etc/shadow ! fakesink", "/media/../etc/x.mp4",
     "/dev/sda", "~/x.mp4", "GST:videotestsrc", "File:///x"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["source", "record_source"])
def test_files_and_pipelines_are_for_the_file_itself(source: str, key: str) -> None:
    text = refused(f"cameras.new.{key}", cameras__new={"source": "usb://0", key: source})
    assert "api.allowed_sources" in text


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "017700000001", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0",
     "169.254.169.254", "224.0.0.1", "0.0.0.0", "[fe80::1]", "LOCALHOST", "[::ffff:a9fe:a9fe]", "\uff11\uff12\uff17.0.0.1"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
def test_http_cameras_lead_neither_to_this_machine_nor_to_its_link(host: str, scheme: str) -> None:
    for source in (f"{scheme}://{host}/video", f"{scheme}://u:p@{host}:8080/video"):
        assert "api.allowed_sources" in refused("cameras.new.source", cameras__new={"source": source})


def test_a_masked_password_holds_for_its_own_host() -> None:
    moved = accepted(sent(cameras__porch__source="rtsp://***@10.0.0.4/stream2"), CURRENT)
    assert moved["cameras"]["porch"]["source"] == "rtsp://cam:pas#s9@10.0.0.4/stream2"
    renamed = accepted(sent(cameras__porch=..., cameras__door={"source": "rtsp://***@10.0.0.4/stream1"}), CURRENT)
    assert renamed["cameras"]["door"]["source"] == "rtsp://cam:pas#s9@10.0.0.4/stream1"
    barn = accepted(sent(cameras__barn__source="rtsp://***@10.0.0.6:8554/2"), CURRENT)
    assert barn["cameras"]["barn"]["source"] == "rtsp://cam:${BARN_PW}@10.0.0.6:8554/2"


@pytest.mark.parametrize(
    "source",
    ["rtsp://***@10.0.0.5/stream1", "rtsp://***@10.0.0.4:8554/stream1", "http://***@10.0.0.4/stream1", "rtsps://***@evil/1",
     "rtsp://cam:***@10.0.0.4/stream1", "http://10.0.0.4/v?pwd=***", "rtsp://***@10.0.0.4@evil/stream1",
     "rtsp://***@evil/x@10.0.0.4/stream1", "rtsp://***@10.0.0.4.evil/1", "***"],
)  # fmt: skip
def test_a_masked_password_is_asked_for_again_for_another_host(source: str) -> None:
    refused("cameras.porch.source", cameras__porch__source=source)


def test_the_brokers_password_is_asked_for_again_for_another_broker() -> None:
    for broker in ("mqtt://10.0.0.3", "mqtts://10.0.0.2", "mqtt://10.0.0.2:1884", "embedded", ...):
        assert "again" in refused("mqtt.password", mqtt__broker=broker)
    given = accepted(sent(mqtt__broker="mqtt://10.0.0.3", mqtt__password="new"), CURRENT)
    assert given["mqtt"]["password"] == "new"
    assert accepted(sent(mqtt__username="other"), CURRENT)["mqtt"]["password"] == "mqtt-secret"


def test_a_variable_or_a_file_is_as_good_as_a_secret() -> None:
    current = copy.deepcopy(CURRENT)
    current["mqtt"]["password"] = "${MQTT_PW}"
    refused("mqtt.password", current, mqtt__password="${MQTT_PW}", mqtt__broker="mqtt://10.0.0.3")
    del current["mqtt"]["password"]
    current["mqtt"]["password_file"] = "/run/pw"
    refused("mqtt.broker", current, mqtt__password=..., mqtt__password_file="/run/pw", mqtt__broker="mqtt://10.0.0.3")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cameras__porch__source", "rtsp://u:${HOME}@10.0.0.4/1"),
        ("cameras__porch__source", "rtsp://${BARN_PW}@10.0.0.4/1"),
        ("cameras__porch__source", "rtsp://cam:${BARN_PW}@10.0.0.9/1"),
        ("device__name", "${SECRET:-x}"),
        ("mqtt__username", "a${PATH}"),
        ("mqtt__password", "${OTHER}"),
        ("api__token", "${TOKEN_OF_ANOTHER}"),
        ("device__name", "$PW"),
    ],
)
def test_no_new_variable_over_http(key: str, value: Any) -> None:
    assert "variable" in refused(key.replace("__", "."), **{key: value})


def test_a_variable_that_the_file_holds_may_go_with_its_camera() -> None:
    moved = accepted(sent(cameras__gate=..., cameras__front={"source": "${GATE_URL}"}), CURRENT)
    assert moved["cameras"]["front"]["source"] == "${GATE_URL}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data_dir", "/tmp/x"), ("data_dir", ...), ("mqtt__password_file", "/etc/shadow"), ("mqtt__ca_file", "/tmp/ca"),
        ("mqtt__cert_file", "/etc/x"), ("mqtt__key_file", "/etc/x"), ("api__allowed_sources", ["*"]),
        ("api__allowed_sources", ...), ("mqtt__ca_file", ...),
    ],
)  # fmt: skip
def test_paths_are_for_the_file_itself(key: str, value: Any) -> None:
    assert "config file itself" in refused(key.replace("__", "."), **{key: value})


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x.onnx", "other.onnx", "~/x.engine", "a/b", "/srv/models/other.onnx"]
)
def test_a_model_outside_the_model_folders_is_for_the_file_itself(name: str) -> None:
    assert "registry name" in refused("model.name", model__name=name)


def test_a_model_in_a_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    inside = str(tmp_path / "models" / "a.onnx")
    assert accepted(sent(model__name=inside), CURRENT)["model"]["name"] == inside
    assert accepted(sent(model__name="yolov10n"), CURRENT)["model"]["name"] == "yolov10n"
    (tmp_path / "models" / "out.onnx").symlink_to("/etc/passwd")
    refused("model.name", model__name=str(tmp_path / "models" / "out.onnx"))
    refused("model.name", model__name=str(tmp_path / "models" / ".." / "a.onnx"))


def test_an_address_that_the_next_start_cannot_use_is_refused() -> None:
    assert "cannot listen" in refused("api.host", api__host="192.0.2.7")
    assert "cannot listen" in refused("mqtt.embedded.host", mqtt__embedded={"host": "192.0.2.7"})


@pytest.mark.parametrize(
    "document", [{}, {"cameras": []}, {"cameras": {"a": 1}}, {"mqtt": "x"}, {"api": []}, {"model": 1}]
)
def test_what_is_no_configuration_is_left_to_the_validation(document: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"cameras": {"a": {"source": "usb://0"}}}
    assert accepted(document, plain) == document
