from __future__ import annotations

import pytest

from detector.config import document as configfile
from detector.core.errors import ConfigError

CAMERA = "cameras: {a: {source: x}}\n"


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        configfile.validate(configfile.parse(text), {})
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        (f"{CAMERA}device: {{id: 007}}", "device.id", 'line 2: YAML reads 007 as a number: put it in quotes, write "007"'),
        (f"{CAMERA}device:\n  id: 1e3", "device.id", 'line 3: YAML reads 1e3 as a number: put it in quotes, write "1e3"'),
        (f"{CAMERA}device: {{name: true}}", "device.name", 'line 2: YAML reads true as the value true: put it in quotes, write "true"'),
        (f"{CAMERA}device: {{name: 0x10}}", "device.name", 'write "0x10"'),
        (f"{CAMERA}model: {{name: 8}}", "model.name", 'line 2: YAML reads 8 as a number: put it in quotes, write "8"'),
        ("cameras: {a: {source: 0}}", "cameras.a.source", 'line 1: YAML reads 0 as a number: put it in quotes, write "0"'),
        (f"{CAMERA}mqtt:\n  username: 1\n", "mqtt.username", "line 3: YAML reads 1 as a number"),
        (f"{CAMERA}data_dir: 5", "data_dir", 'line 2: YAML reads 5 as a number: put it in quotes, write "5"'),
    ],
)  # fmt: skip
def test_c1_a_number_where_text_is_wanted_is_named_by_line_and_spelling(text: str, key: str, says: str) -> None:
    error = refused(text)
    assert error.key == key
    assert says in str(error)


@pytest.mark.parametrize("written", ["12345678", "007", "true", "1e5"])
def test_c1_a_password_of_digits_is_not_shown(written: str) -> None:
    error = refused(f"{CAMERA}mqtt:\n  username: ha\n  password: {written}\n")
    assert error.key == "mqtt.password"
    assert "line 4: YAML reads this as" in str(error)
    assert "put it in quotes" in str(error)
    assert written not in str(error).replace("true or false", "")


@pytest.mark.parametrize("written", ["|\n    secret-1\n", '"secret-1\\r\\n"'])
def test_c3_line_ends_behind_a_password_are_none_of_it(written: str) -> None:
    text = f"{CAMERA}mqtt:\n  username: ha\n  password: {written}\n"
    password = configfile.validate(configfile.parse(text), {}).mqtt.password
    assert password is not None
    assert password.get_secret_value() == "secret-1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cameras: {a: 'rtsp://u:secret9@h/s'}", "cameras.a: should be a section: keys with values"),
        ("cameras:\n- source: x", "cameras: should be a section"),
        (f"{CAMERA}mqtt: 'mqtt://h'", "mqtt: should be a section"),
        ("cameras: {a: {source: x, alert: true}}", "cameras.a.alert: should be a section"),
        ("cameras: {a: {source: x, zones: {g: '0,0,1,0,1,1'}}}", "cameras.a.zones.g: should be a list, as [a, b]"),
        ("cameras: {a: {source: [x]}}", "cameras.a.source: should be a text"),
    ],
)
def test_c5_another_type_is_told_in_plain_words(text: str, says: str) -> None:
    error = refused(text)
    assert says in str(error)
    assert "instance" not in str(error)
    assert "secret9" not in str(error)


def test_c1_names_and_times_that_yaml_1_1_changed_are_text() -> None:
    text = """
cameras:
  on: {source: x, zones: {no: [[0, 0], [1, 0], [1, 1]]}, alert: {zones: [no]}, loop: yes}
  1: {source: y, enabled: off}
device: {name: 2024-01-02}
mqtt: {username: off, password: 22:22, client_id: 12:30}
"""
    config = configfile.validate(configfile.parse(text), {})
    assert list(config.cameras) == ["on", "1"]
    assert config.cameras["on"].alert.zones == ("no",)
    assert (config.cameras["on"].loop, config.cameras["1"].enabled) == (True, False)
    assert (config.device.name, config.mqtt.username, config.mqtt.client_id) == ("2024-01-02", "off", "12:30")
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == "22:22"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{CAMERA}\nmqtt:\n  brokr: x\n", "mqtt.brokr: unknown key; did you mean broker? (line 4)"),
        (
            "cameras:\n  a:\n    source: x\n    detect_fps: 0\n",
            "cameras.a.detect_fps: should be greater than 0 (line 4)",
        ),
        ("cameras:\n  Porch:\n    source: x\n", "cameras.Porch: use 1 to 32 of a-z, 0-9, _ and - (line 2)"),
        ("cameras:\n  a:\n    zones:\n      z: [[0, 0], [1, 1]]\n    source: x", "this has 2 (line 4)"),
    ],
)
def test_an_error_names_its_line(text: str, says: str) -> None:
    assert says in str(refused(text))


def test_a_number_in_json_needs_quotes_too() -> None:
    with pytest.raises(ConfigError, match=r"device\.name: text is wanted, and this is a number: put it in quotes"):
        configfile.validate({"cameras": {"a": {"source": "x"}}, "device": {"name": 5}}, {})


@pytest.mark.parametrize("section", ["zones", "masks", "alert", "motion", "timeout_s", "detect_fps", "loop", "enabled"])
def test_c5_an_empty_section_of_a_camera_is_the_default(section: str) -> None:
    empty = configfile.validate(configfile.parse(f"cameras:\n  a:\n    source: x\n    {section}:\n"), {})
    assert empty == configfile.validate(configfile.parse(CAMERA), {})


@pytest.mark.parametrize(
    "text",
    [
        "device:",
        "model:",
        "mqtt:",
        "alarm:",
        "api:",
        "history:",
        "data_dir:",
        "mqtt: {embedded: }",
        "model: {backend: }",
    ],
)
def test_c5_an_empty_section_is_the_default_at_every_level(text: str) -> None:
    assert configfile.validate(configfile.parse(f"{CAMERA}{text}\n"), {}) == configfile.validate(
        configfile.parse(CAMERA), {}
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cameras:\n", "cameras: required, but not given"),
        ("cameras:\n  a:\n", "cameras.a.source: required, but not given"),
        ("cameras:\n  a:\n    source:\n", "cameras.a.source: required, but not given"),
        ("cameras: {a: {source: x, zones: {z: }}}", "needs at least 3 points, this has 0"),
    ],
)
def test_c5_what_has_no_default_is_asked_for(text: str, says: str) -> None:
    assert says in str(refused(text))


def test_c6_keys_for_anchors_are_allowed() -> None:
    text = """
x-common: &common {detect_fps: 3, zones: {z: [[0, 0], [1, 0], [1, 1]]}}
x-unset: "${NOT_SET_ANYWHERE} {{X}}"
cameras:
  a: {<<: *common, source: x, x-note: mine}
  b: {source: y, zones: {z: [[0, 0], [1, 0], [0, 1]]}, <<: *common}
mqtt: {x-note: 1}
"""
    config = configfile.validate(configfile.parse(text), {})
    assert config.cameras["a"].detect_fps == config.cameras["b"].detect_fps == 3
    assert list(config.cameras["b"].zones["z"][2]) == [0, 1]
    assert "x-common" in configfile.masked(configfile.parse(text))
