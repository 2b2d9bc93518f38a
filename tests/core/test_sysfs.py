from __future__ import annotations

from pathlib import Path

from detector.core.sysfs import read_number, read_text


def test_numbers_text_and_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "value"
    assert (read_number(path), read_text(path)) == (None, None)
    for raw, number, text in (
        (b"42 7\n", 42.0, "42 7"),
        (b"\n", None, ""),
        (b"on\n", None, "on"),
        (b"\xff", None, None),
    ):
        path.write_bytes(raw)
        assert (read_number(path), read_text(path)) == (number, text)
