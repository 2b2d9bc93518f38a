from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from detector.config import document as configfile
from detector.config.device_id import FILE, keep_id
from detector.config.schema import Config


def config(data_dir: Path, **device: Any) -> Config:
    section = {"device": device} if device else {}
    return configfile.validate({"cameras": {"a": {"source": "x"}}, "data_dir": str(data_dir), **section}, {})


def test_h3_the_first_default_id_stays_when_the_host_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "3f2a9c")
    first = config(tmp_path)
    assert first.device.id == "3f2a9c"
    keep_id(first)
    monkeypatch.setattr(socket, "gethostname", lambda: "b77e01")
    second = config(tmp_path, name="Front yard")
    assert (second.device.id, second.device.name) == ("3f2a9c", "Front yard")
    keep_id(second)
    assert config(tmp_path).device == first.device
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_configured_id_wins_and_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "one")
    keep_id(config(tmp_path))
    mine = config(tmp_path, id="mine")
    keep_id(mine)
    assert mine.device.id == "mine"
    assert config(tmp_path).device.id == "one"


@pytest.mark.parametrize("content", [b"", b"Not An Id", b"\xff\xfe", b"a" * 40, b"../x"])
def test_a_damaged_file_is_made_good(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "host")
    (tmp_path / FILE).write_bytes(content)
    assert config(tmp_path).device.id == "host"
    keep_id(config(tmp_path))
    assert (tmp_path / FILE).read_text(encoding="utf-8") == "host\n"


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        keep_id(config(tmp_path / "file"))
    assert "cannot be kept" in caplog.text
