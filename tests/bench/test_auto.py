"""The bench of `backend: auto`: its sets split by time, and what it says when they are missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.auto import _set, main


def test_without_the_shared_data_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shared", str(tmp_path)]) == 1
    assert "give --shared or set DETECTOR_SHARED" in capsys.readouterr().err


def test_what_was_seen_is_not_among_the_unseen(shared: Path, tmp_path: Path) -> None:
    pictures = _set("coco", shared / "media", tmp_path)
    whole, unseen = (json.loads(path.read_text(encoding="utf-8")) for path in (pictures.all, pictures.unseen))
    assert len(pictures.seen) + len(unseen["images"]) == len(whole["images"])
    names = [entry["file_name"] for entry in whole["images"]]
    assert [entry["file_name"] for entry in unseen["images"]] == names[len(pictures.seen) :]
    ids = {entry["id"] for entry in unseen["images"]}
    assert {each["image_id"] for each in unseen["annotations"]} <= ids
