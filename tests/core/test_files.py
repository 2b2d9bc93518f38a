"""Files appear whole or not at all, with the right mode; one process at a time holds a lock."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from detector.core.files import PUBLIC, install, locked, replacing, write_atomically


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("content", ["naïve\n", b"\x00\xff", memoryview(b"view")])
def test_what_was_written_is_there_and_nothing_else(content: str | bytes | memoryview, tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "file.json"
    write_atomically(target, content)
    assert target.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert list(target.parent.iterdir()) == [target]


def test_the_mode_of_the_replaced_file_is_kept_while_it_is_written_too(tmp_path: Path) -> None:
    target = tmp_path / "secret.yaml"
    target.write_text("old")
    target.chmod(0o600)
    with replacing(target) as part:
        assert mode_of(part) == 0o600
        part.write_text("new")
    assert (target.read_text(), mode_of(target)) == ("new", 0o600)


def test_a_new_file_has_the_mode_that_is_asked_for_else_the_umasks(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "usual", "")
        write_atomically(tmp_path / "public", "", mode=PUBLIC)
    finally:
        os.umask(before)
    assert (mode_of(tmp_path / "usual"), mode_of(tmp_path / "public")) == (0o640, 0o644)


@pytest.mark.parametrize("trouble", [ValueError, OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_other(trouble: type[BaseException], tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_text("old")

    def fill() -> None:
        with replacing(target) as part:
            assert part.suffix == ".onnx"  # libraries go by it
            part.write_text("half")
            raise trouble

    with pytest.raises(trouble):
        fill()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_in_the_way_is_an_oserror_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


def test_file_and_folder_are_on_the_disk_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        order.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    made = tmp_path / "made"
    made.write_text("x")
    install(made, tmp_path / "placed")
    assert order == [str(made), "renamed", str(tmp_path)]


def test_a_second_holder_waits_and_is_told(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    waited = threading.Event()
    got = threading.Event()

    def second() -> None:
        with locked(lock, waited.set):
            got.set()

    thread = threading.Thread(target=second)
    with locked(lock):
        thread.start()
        assert waited.wait(10)
        assert not got.is_set()
    thread.join(10)
    assert got.is_set()
    assert lock.exists()


def test_what_waiting_raises_ends_it_and_leaves_the_holder_alone(tmp_path: Path) -> None:
    class InUseError(Exception):
        pass

    def refuse() -> None:
        raise InUseError

    def enter() -> None:
        with locked(tmp_path / "lock", refuse):
            pass

    with locked(tmp_path / "lock") as handle:
        os.pwrite(handle, b"1234", 0)
        with pytest.raises(InUseError):
            enter()
        assert (tmp_path / "lock").read_text() == "1234"  # the holder's note is not cut
        with (tmp_path / "lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
