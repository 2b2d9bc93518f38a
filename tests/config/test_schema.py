from __future__ import annotations

import socket
from typing import Any

import pytest

from detector.config import document as configfile
from detector.config.schema import Config, default_device_id
from detector.config.source_kind import source_kind
from detector.core.errors import ConfigError

CONTRACT = """
device: {id: front-yard, name: Front yard}
model:
  name: yolox-tiny-person
  backend: auto
  precision: auto
cameras:
  porch:
    source: rtsp://cam:${PORCH_PASSWORD}@10.0.0.4/stream1
    detect_fps: 10
    loop: false
    motion: {enabled: true}
    zones: {garden: [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]}
    masks: [[[0, 0], [0.2, 0], [0.2, 0.1], [0, 0.1]]]
    alert: {min_score: 0.5, min_frames: 3, zones: [garden], cooldown_s: 30, min_area: 0.0005, max_area: 1.0}
mqtt:
  broker: embedded
  username: ha
  password: ${MQTT_PASSWORD}
  topic_prefix: detector
  discovery_prefix: homeassistant
alarm: {initial: armed_away, exit_delay_s: 0, entry_delay_s: 0}
api: {host: 127.0.0.1, port: 8080, token: null}
data_dir: ./data
"""
ENVIRONMENT = {"PORCH_PASSWORD": "pw-of-porch", "MQTT_PASSWORD": "pw-of-mqtt"}


def parse(text: str, **environment: str) -> Config:
    return configfile.validate(configfile.parse(text), environment)


def test_the_contracts_example_is_valid() -> None:
    config = configfile.validate(configfile.parse(CONTRACT), ENVIRONMENT)
    assert config.cameras["porch"].source.get_secret_value() == "rtsp://cam:pw-of-porch@10.0.0.4/stream1"
    assert config.cameras["porch"].kind == "rtsp"
    assert config.cameras["porch"].alert.zones == ("garden",)


def test_no_secret_shows_in_any_repr() -> None:
    config = configfile.validate(configfile.parse(CONTRACT), ENVIRONMENT)
    assert "pw-of" not in repr(config) + str(config) + str(config.model_dump()) + config.model_dump_json()
    assert config.cameras["porch"].shown_source == "rtsp://***@10.0.0.4/stream1"


def test_the_least_config_has_the_documented_defaults() -> None:
    config = parse("cameras: {a: {source: clip.mp4}}")
    camera = config.cameras["a"]
    assert (camera.alert.min_score, camera.alert.min_frames, camera.alert.cooldown_s) == (0.5, 3, 30.0)
    assert (config.alarm.initial, config.mqtt.broker, config.api.host) == ("armed_away", "embedded", "127.0.0.1")
    assert config.device.id == default_device_id()


def test_empty_sections_mean_their_defaults() -> None:
    assert parse("cameras: {a: {source: x.mp4}}\nmqtt:\napi:\n").mqtt.topic_prefix == "detector"


def test_the_default_id_fits_the_alphabet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Küche_Nr. 5.local")
    assert default_device_id() == "k-che_nr"
    monkeypatch.setattr(socket, "gethostname", lambda: "...")
    assert default_device_id() == "detector"


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("cameras: {a: {source: x, alert: {min_scor: 1}}}", "cameras.a.alert.min_scor", "did you mean min_score?"),
        ("cameras: {a: {sorce: x}}", "cameras.a.sorce", "did you mean source?"),
        ("camera: {}", "camera", "did you mean cameras?"),
        ("cameras: {a: {source: x}}\nmqtt: {zzz: 1}", "mqtt.zzz", "known here: broker"),
        ("cameras: {}", "cameras", "at least 1"),
        ("mqtt: {}", "cameras", "required"),
        ("cameras: {Porch: {source: x}}", "cameras.Porch", "a-z"),
        ("cameras: {a: {source: x, detect_fps: 0}}", "cameras.a.detect_fps", "greater than 0"),
        ("cameras: {a: {source: x, detect_fps: .nan}}", "cameras.a.detect_fps", "finite"),
        ("cameras: {a: {source: ''}}", "cameras.a.source", "must not be empty"),
        ("cameras: {a: {source: 'ftp://h/x'}}", "cameras.a.source", "unknown scheme ftp://"),
        ("cameras: {a: {source: 'rtsp:///x'}}", "cameras.a.source", "no host"),
        ("cameras: {a: {source: 'rtsp://u:p/a'}}", "cameras.a.source", "/ as %2F"),
        ("cameras: {a: {source: 'rtsp://u:p#a@'}}", "cameras.a.source", "# as %23"),
        ("cameras: {a: {source: 'rtsp://u:12/34@10.0.0.4/1'}}", "cameras.a.source", "/ as %2F"),
        ("cameras: {a: {source: 'rtsp://u:a@b/c@10.0.0.4/1'}}", "cameras.a.source", "@ as %40 in the path"),
        ("cameras: {a: {source: 'rtsp://h/a b'}}", "cameras.a.source", "a blank as %20"),
        ("cameras: {a: {source: 'rtsp://h/a#b'}}", "cameras.a.source", "# as %23"),
        ("cameras: {a: {source: 'rtsp://h:0/a'}}", "cameras.a.source", "between 1 and 65535"),
        ("cameras: {a: {source: 'rtsp://h:70000/a'}}", "cameras.a.source", "between 1 and 65535"),
        ("cameras: {a: {source: 'usb://x'}}", "cameras.a.source", "usb://N"),
        ("cameras: {a: {source: x, zones: {z: [[0, 0], [1, 1]]}}}", "cameras.a.zones.z", "at least 3 points"),
        ("cameras: {a: {source: x, zones: {z: [[0, 0], [1, 1], [0.5, 0.5]]}}}", "cameras.a.zones.z", "no area"),
        ("cameras: {a: {source: x, zones: {z: [[0, 0], [2, 0], [0, 1]]}}}", "cameras.a.zones.z.1.0", "less than"),
        ("cameras: {a: {source: x, alert: {zones: [z]}}}", "cameras.a", "alert.zones names z"),
        ("cameras: {a: {source: x, alert: {min_area: 0.5, max_area: 0.5}}}", "cameras.a.alert", "smaller than"),
        ("cameras: {a: {source: 'rtsp://h/1', loop: true}}", "cameras.a", "files only"),
        ("cameras: {a: {source: x}}\napi: {host: 0.0.0.0}", "api", "token is required"),
        ("cameras: {a: {source: x}}\napi: {token: short}", "api", "too short"),
        ("cameras: {a: {source: x}}\nmqtt: {broker: 'http://h'}", "mqtt.broker", "mqtt://host:1883"),
        ("cameras: {a: {source: x}}\nmqtt: {broker: 'mqtt://h:99999'}", "mqtt.broker", "ort"),
        ("cameras: {a: {source: x}}\nmqtt: {broker: 'mqtt://h/t'}", "mqtt.broker", "nothing may follow"),
        ("cameras: {a: {source: x}}\nmqtt: {password: abc}", "mqtt", "needs a username"),
        ("cameras: {a: {source: x}}\nmqtt: {topic_prefix: 'a/#'}", "mqtt.topic_prefix", "plain MQTT topic"),
        ("cameras: {a: {source: x}}\nmqtt: {embedded: {host: 0.0.0.0}}", "mqtt", "required to open"),
        ("cameras: {a: {source: x}}\nmqtt: {cert_file: a}", "mqtt", "go together"),
        ("cameras: {a: {source: x}}\nmqtt: {username: u, password: abc, password_file: f}", "mqtt", "not both"),
        ("cameras: {a: {source: '${NOPE}'}}", "cameras.a.source", "NOPE is not set"),
        ("a: 1\na: 2", "", "given twice"),
        ("cameras: [", "", "line 1"),
        ("- a", "", "must be a mapping"),
    ],
)
def test_a_wrong_config_is_one_line_that_names_the_key(text: str, key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.key == key
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_never_echoes_a_secret() -> None:
    for text in (
        "cameras: {a: {source: x}}\nmqtt: {username: u, password: [topsecret]}",
        "cameras: {a: {source: x}}\napi: {token: {topsecret: 1}}",
        "cameras: {a: {source: 'foo://u:topsecret@h'}}",
        "cameras: {a: {source: x}}\nmqtt: {broker: 'mqtt://u:topsecret@h'}",
    ):
        with pytest.raises(ConfigError) as caught:
            parse(text)
        assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("rtsp://h/1", "rtsp"),
        ("rtsps://h/1", "rtsp"),
        ("http://h/x.mjpg", "http"),
        ("/dev/video3", "v4l2"),
        ("usb://0", "v4l2"),
        ("csi://0", "csi"),
        ("gst:videotestsrc ! appsink", "gstreamer"),
        ("/var/clip.mp4", "file"),
        ("odd:name.mp4", "file"),
    ],
)
def test_sources_are_told_apart(source: str, kind: str) -> None:
    assert source_kind(source) == kind


def _document() -> dict[str, Any]:
    return configfile.parse(CONTRACT.replace("${MQTT_PASSWORD}", "literal-secret"))


def test_masking_hides_literals_and_keeps_variables() -> None:
    document = _document()
    document["cameras"]["porch"]["source"] = "rtsp://cam:literal-secret@10.0.0.4/1"
    shown = configfile.masked(document)
    assert "literal-secret" not in str(shown)
    assert shown["mqtt"]["password"] == "***"
    assert configfile.masked(configfile.parse(CONTRACT))["mqtt"]["password"] == "${MQTT_PASSWORD}"


def test_a_masked_document_sent_back_keeps_the_secrets() -> None:
    document = _document()
    sent = configfile.masked(document)
    sent["device"]["name"] = "Back yard"
    back = configfile.unmasked(sent, document)
    assert back["mqtt"]["password"] == "literal-secret"
    assert back["device"]["name"] == "Back yard"


def test_the_etag_follows_the_content_not_the_order() -> None:
    a, b = {"x": 1, "y": 2}, {"y": 2, "x": 1}
    assert configfile.etag(a) == configfile.etag(b)
    assert configfile.etag(a) != configfile.etag({"x": 1, "y": 3})
    assert configfile.etag(a).startswith('"')


@pytest.mark.parametrize(
    ("source", "motion", "why"),
    [
        ("clip.mp4", "{idle_decode: keyframes}", "RTSP cameras only"),
        ("rtsp://10.0.0.4/live", "{idle_decode: keyframes, enabled: false}", "needs enabled: true"),
        ("rtsp://10.0.0.4/live", "{idle_decode: none}", "idle_decode"),
        ("rtsp://10.0.0.4/live", "{crops_per_s: -1}", "crops_per_s"),
    ],
)
def test_what_an_idle_camera_cannot_do_is_refused(source: str, motion: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        parse(f"cameras: {{porch: {{source: '{source}', motion: {motion}}}}}")
    assert caught.value.key.startswith("cameras.porch")


def test_idle_cameras_may_be_decoded_by_key_frames() -> None:
    config = parse("cameras: {porch: {source: 'rtsp://10.0.0.4/live', motion: {idle_decode: keyframes}}}")
    assert config.cameras["porch"].motion.idle_decode == "keyframes"
