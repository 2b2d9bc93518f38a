"""What a pruning job keeps: found again by the same job alone, and damage is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.core.errors import ModelError, StorageError
from detector.optimize.prune.work import Work


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    first = Work(tmp_path / "work", "key")
    assert (first.resumed, first.said(), first.empty) == (False, None, True)
    first.begin()
    first.put("before", {"ap": 0.5})
    again = Work(tmp_path / "work", "key")
    assert again.get("before") == {"ap": 0.5}
    assert again.get("tuned") is None
    assert not again.empty
    assert again.said() == f"continues from {tmp_path / 'work'}: done are before"
    (tmp_path / "work" / "tuning").write_bytes(b"")
    assert "and a part of tuning" in str(again.said())
    again.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_job_s_work_is_refused(tmp_path: Path) -> None:
    Work(tmp_path / "work", "key").begin()
    with pytest.raises(ModelError, match=r"is the work of another run .*remove the folder"):
        Work(tmp_path / "work", "other")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "key"}', '{"key": "key", "stages": 3}'])
def test_damage_is_said(tmp_path: Path, text: str) -> None:
    Work(tmp_path / "work", "key").begin()
    (tmp_path / "work" / "progress.json").write_text(text)
    with pytest.raises(ModelError, match="remove "):
        Work(tmp_path / "work", "key")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot keep work in"):
        Work(tmp_path / "file" / "work", "key").begin()
