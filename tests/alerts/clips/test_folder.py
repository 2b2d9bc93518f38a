"""Clips on the disk: kept by age, number and size, shared as one file, whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detector.alerts.clips.folder import ClipFolder
from detector.core.errors import StorageError
from support.visits import StillClock

NOW = 1_790_000_000.0
DAY_S = 86_400.0


def add(folder: ClipFolder, *ids: str, size: int = 1000, age_s: float = 0.0) -> Path:
    part = folder.begin(ids[0])
    part.write_bytes(bytes(size))
    folder.finish(part, ids)
    for one in ids:
        os.utime(folder.path(one), (NOW - age_s, NOW - age_s))
    return folder.path(ids[0])


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def test_two_visits_share_one_file(tmp_path: Path) -> None:
    folder = ClipFolder(tmp_path)
    add(folder, "a", "b", size=5000)
    assert folder.has("a")
    assert folder.has("b")
    assert folder.usage() == (2, 5000), "on the disk once"
    assert folder.path("a").stat().st_mode & 0o777 == 0o600
    folder.delete(["a", "nothing"])
    assert folder.find("a") is None
    assert folder.find("b") == folder.path("b")
    assert names(tmp_path) == ["b.mp4"]


def test_a_disk_that_knows_no_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    folder = ClipFolder(tmp_path)
    add(folder, "a", "b", size=50)
    assert folder.path("b").read_bytes() == bytes(50)
    assert names(tmp_path) == ["a.mp4", "b.mp4"]


def test_the_oldest_go_by_number(tmp_path: Path) -> None:
    folder = ClipFolder(tmp_path, max_clips=2, clock=StillClock(wall=NOW))
    for i in range(4):
        add(folder, f"v{i}", age_s=100 - i)
    assert folder.prune() == 2
    assert names(tmp_path) == ["v2.mp4", "v3.mp4"]


def test_the_oldest_go_by_size_and_a_shared_file_counts_once(tmp_path: Path) -> None:
    folder = ClipFolder(tmp_path, max_bytes=2500, clock=StillClock(wall=NOW))
    add(folder, "old", age_s=300)
    add(folder, "one", "same", age_s=200)
    add(folder, "new", age_s=100)
    assert folder.prune() == 1
    assert names(tmp_path) == ["new.mp4", "one.mp4", "same.mp4"]
    assert folder.prune() == 0


def test_they_go_by_age_where_the_clock_is_known_to_be_right(tmp_path: Path) -> None:
    right = [False]
    folder = ClipFolder(tmp_path, keep_days=7, clock=StillClock(wall=NOW), clock_synced=lambda: right[0])
    add(folder, "old", age_s=8 * DAY_S)
    add(folder, "new", age_s=6 * DAY_S)
    assert folder.prune() == 0
    right[0] = True
    assert folder.prune() == 1
    assert names(tmp_path) == ["new.mp4"]


@pytest.mark.parametrize("written", [20.0, NOW + 30 * DAY_S])
def test_a_clip_of_a_clock_that_was_not_set_is_as_old_as_its_discovery(tmp_path: Path, written: float) -> None:
    folder = ClipFolder(tmp_path, keep_days=7, clock=StillClock(wall=NOW))
    os.utime(add(folder, "v"), (written, written))
    assert folder.prune() == 0
    assert folder.path("v").stat().st_mtime == pytest.approx(NOW)
    late = ClipFolder(tmp_path, keep_days=7, clock=StillClock(wall=NOW + 8 * DAY_S))
    assert late.prune() == 1


def test_a_nearly_full_disk_makes_room_and_then_says_what_to_do(tmp_path: Path) -> None:
    add(ClipFolder(tmp_path), "old")
    full = ClipFolder(tmp_path, min_free=1 << 60)
    with pytest.raises(StorageError, match=r"nearly full: free some space"):
        full.begin("new")
    assert names(tmp_path) == []


def test_what_was_not_finished_is_removed(tmp_path: Path) -> None:
    folder = ClipFolder(tmp_path)
    folder.begin("v").write_bytes(b"half")
    assert not folder.has("v")
    assert folder.remove_parts() == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("bad", ["", "..", "../x", "a/b", ".hidden", "a" * 200, "a\0b", "a b"])
def test_an_id_that_is_none_leads_nowhere(tmp_path: Path, bad: str) -> None:
    folder = ClipFolder(tmp_path / "clips")
    assert folder.find(bad) is None
    folder.delete([bad])
    with pytest.raises(StorageError):
        folder.begin(bad)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "clips").write_text("a file")
    with pytest.raises(StorageError):
        ClipFolder(tmp_path / "clips").begin("v")
    assert ClipFolder(tmp_path / "clips").usage() == (0, 0)
