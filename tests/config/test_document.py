from __future__ import annotations

import copy
import stat
from pathlib import Path

import pytest

from detector.cli.init import starter
from detector.config import document
from detector.core.errors import ConfigError


def test_the_starter_file_is_valid() -> None:
    config = document.validate(document.parse(starter()), {})
    assert "porch" in config.cameras


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="detector init"):
        document.load(tmp_path / "none.yaml")


@pytest.mark.parametrize("content", [b"\x00\xff\xfe\x00", b"\xff\xfe", b"a: " + b"x" * (2 << 20), b""])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        document.load(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        document.load(tmp_path)


def test_writing_replaces_the_whole_and_keeps_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("old: 1", encoding="utf-8")
    path.chmod(0o640)
    document.write(path, {"cameras": {"a": {"source": "x"}}})
    assert document.read(path) == {"cameras": {"a": {"source": "x"}}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("old: 1", encoding="utf-8")
    with pytest.raises(Exception, match="represent"):
        document.write(path, {"a": object()})
    assert path.read_text(encoding="utf-8") == "old: 1"
    with pytest.raises(ConfigError, match="cannot write"):
        document.write(tmp_path / "no" / "c.yaml", {})


def test_the_password_file_is_read_and_its_newline_dropped(tmp_path: Path) -> None:
    secret = tmp_path / "pw"
    secret.write_text("from-file\n", encoding="utf-8")
    text = f"cameras: {{a: {{source: x}}}}\nmqtt: {{username: u, password_file: '{secret}'}}"
    password = document.mqtt_password(document.validate(document.parse(text), {}))
    assert password is not None
    assert password.get_secret_value() == "from-file"
    secret.unlink()
    with pytest.raises(ConfigError, match=r"mqtt\.password_file"):
        document.mqtt_password(document.validate(document.parse(text), {}))


def test_c6_a_save_keeps_every_comment_and_the_order(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(starter(), encoding="utf-8")
    changed = copy.deepcopy(dict(document.read(path)))
    changed["cameras"]["porch"]["detect_fps"] = 7
    document.write(path, changed)
    before, after = starter().splitlines(), path.read_text(encoding="utf-8").splitlines()
    assert [line for line in after if line not in before] == [
        "    detect_fps: 7               # at most this many detections per second"
    ]
    assert len(before) == len(after)
    assert document.read(path) == changed
    assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]


def test_a_copy_of_an_interrupted_save_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("cameras: {a: {sou", encoding="utf-8")
    (tmp_path / ".c.yaml.new").write_text("cameras: {a: {source: x}}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"interrupted: the whole new text is in .*\.c\.yaml\.new"):
        document.read(path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfcameras: {a: {source: x}}\r\n")
    assert document.read(path) == {"cameras": {"a": {"source": "x"}}}
