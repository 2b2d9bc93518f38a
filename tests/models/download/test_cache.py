"""From sources to a verified file in the cache: order, hashes, locks, faults of the disk."""

from __future__ import annotations

import fcntl
import io
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.core.errors import ModelError
from detector.models.download import cache
from detector.models.download.cache import FileSpec, ensure, status
from support.fileserver import FileServer, Served

Want = Callable[..., FileSpec]


def litter(wanted: FileSpec) -> list[str]:
    """What lies beside the file and its lock."""
    keep = {wanted.path.name, f".{wanted.path.name}.lock"}
    return sorted(path.name for path in wanted.path.parent.iterdir() if path.name not in keep)


def test_url_then_from_the_cache(server: FileServer, want: Want, content: bytes) -> None:
    server.files["/f"] = Served(content)
    wanted = want({"url": server.url("/f")})
    assert status(wanted) == "absent"
    for _ in range(2):
        assert ensure(wanted).read_bytes() == content
    assert len(server.requests) == 1
    assert status(wanted) == "ok"
    assert litter(wanted) == []


def test_member_of_a_zip(server: FileServer, want: Want, content: bytes) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("20260101/sdk/end2end.onnx", content)
    server.files["/f.zip"] = Served(packed.getvalue(), cut_after=[5000])
    wanted = want({"url": server.url("/f.zip"), "member": "end2end.onnx"})
    assert ensure(wanted).read_bytes() == content
    assert litter(wanted) == []


def test_wrong_content_is_refused_and_gone(server: FileServer, want: Want, content: bytes) -> None:
    server.files["/f"] = Served(content[::-1])
    wanted = want({"url": server.url("/f")})
    with pytest.raises(ModelError, match=r"not the pinned file, removed: expected sha256 \w{12}\.\.\., got \w{12}"):
        ensure(wanted)
    assert status(wanted) == "absent"
    assert litter(wanted) == []


def test_every_reason_is_told_in_one_line(server: FileServer, want: Want) -> None:
    wanted = want({"file": "${NOWHERE_SET}/f"}, {"file": "/nonexistent/f"}, {"url": server.url("/f")})
    with pytest.raises(ModelError) as caught:
        ensure(wanted)
    text = str(caught.value)
    assert text.startswith("could not get thing: tried the file ${NOWHERE_SET}/f (NOWHERE_SET is not set); ")
    assert "/nonexistent/f (No such file or directory)" in text
    assert "404 Not Found" in text
    assert text.endswith(f"Copy the file yourself to {wanted.path}, or give its path")
    assert "\n" not in text


def test_the_next_source_is_tried(server: FileServer, want: Want, content: bytes) -> None:
    server.files["/bad"], server.files["/good"] = Served(b"x" * len(content)), Served(content)
    wanted = want({"url": server.url("/gone")}, {"url": server.url("/bad")}, {"url": server.url("/good")})
    assert ensure(wanted).read_bytes() == content
    assert litter(wanted) == []


def test_damaged_cache_is_replaced(server: FileServer, want: Want, content: bytes) -> None:
    server.files["/f"] = Served(content)
    wanted = want({"url": server.url("/f")})
    ensure(wanted).write_bytes(content[:-1] + b"?")
    assert status(wanted) == "corrupt"
    assert ensure(wanted).read_bytes() == content


def test_damaged_cache_without_a_source_is_gone_and_told(want: Want, content: bytes) -> None:
    wanted = want({"file": "/nonexistent/f"})
    wanted.path.parent.mkdir(parents=True)
    wanted.path.write_bytes(content[:-1])
    with pytest.raises(ModelError, match=r"copy in the cache \(expected 300001 bytes, got 300000; removed\)"):
        ensure(wanted)
    assert not wanted.path.exists()


def test_a_part_of_another_version_is_thrown_away(server: FileServer, want: Want, content: bytes) -> None:
    """A server that validates nothing lets the halves of two files be joined: the hash tells."""
    server.files["/f"] = Served(content[::-1], etag=None, cut_after=[1000] * 4)
    wanted = want({"url": server.url("/f")})
    with pytest.raises(ModelError):
        ensure(wanted)
    server.files["/f"] = Served(content, etag=None)
    assert ensure(wanted).read_bytes() == content
    assert "Range" not in server.requests[-1]


def test_file_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, want: Want, content: bytes) -> None:
    monkeypatch.setenv("MODELS_HERE", str(tmp_path))
    (tmp_path / "f").write_bytes(content)
    assert ensure(want({"file": "${MODELS_HERE}/f"})).read_bytes() == content


def test_a_file_may_be_any_accepted_variant(tmp_path: Path, want: Want, content: bytes) -> None:
    other = want(data=b"other").pin
    (tmp_path / "f").write_bytes(content)
    wanted = want({"file": str(tmp_path / "f"), "size": other.size, "sha256": other.sha256})
    assert ensure(wanted).read_bytes() == content
    (tmp_path / "f").write_bytes(b"other")
    wanted.path.unlink()
    assert ensure(wanted).read_bytes() == b"other"
    assert status(wanted) == "ok"


def test_a_download_may_not(server: FileServer, want: Want, content: bytes) -> None:
    other = want(data=b"x" * len(content)).pin
    server.files["/f"] = Served(content)
    wanted = want({"url": server.url("/f"), "size": other.size, "sha256": other.sha256})
    with pytest.raises(ModelError, match="not the pinned file"):
        ensure(wanted)


def test_unwritable_cache(tmp_path: Path, want: Want) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(
        ModelError, match=r"cannot write .*cache.models: Not a directory; make room or set DETECTOR_CACHE"
    ):
        ensure(want({"file": "/nonexistent"}))


def test_full_disk(server: FileServer, want: Want, content: bytes) -> None:
    server.files["/f"] = Served(content)
    wanted = want({"url": server.url("/f")}, {"url": server.url("/never-asked")})
    wanted.path.parent.mkdir(parents=True)
    wanted.part.symlink_to("/dev/full")
    with pytest.raises(ModelError, match="No space left on device; make room"):
        ensure(wanted)
    assert len(server.requests) == 1


def test_what_a_killed_process_left_does_not_matter(server: FileServer, want: Want, content: bytes) -> None:
    server.files["/f"] = Served(content)
    wanted = want({"url": server.url("/f")})
    work = wanted.path.with_name(f".{wanted.path.name}.work")
    work.mkdir(parents=True)
    (work / "file").write_bytes(b"half")
    ensure(wanted)
    assert litter(wanted) == []


def test_wheel_whose_hash_is_wrong_is_not_opened(tmp_path: Path, want: Want, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/model.onnx", content)
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    source = {
        "wheel": "tiny",
        "version": "1.0",
        "member": "tiny/model.onnx",
        "args": ["--no-index", "--find-links", str(tmp_path)],
    }
    assert ensure(want(source)).read_bytes() == content
    (tmp_path / "cache" / "models" / "thing.onnx").unlink()
    with pytest.raises(ModelError, match="the package is not the pinned one: expected sha256 000000000000"):
        ensure(want({**source, "archive_sha256": "0" * 64}))


CHILD = """
    import sys
    from pathlib import Path
    from detector.models.download.pin import FileHash
    from detector.models.download.sources import UrlSource
    from detector.models.download.cache import FileSpec, ensure
    path, url, size, sha = sys.argv[1:]
    wanted = FileSpec(name="thing", path=Path(path), pin=FileHash(size=int(size), sha256=sha), sources=(UrlSource(url=url),))
    print(ensure(wanted, lambda done, total, what: print(what, flush=True)))
"""


def test_two_processes_fetch_once(server: FileServer, want: Want, content: bytes) -> None:
    served = server.files["/f"] = Served(content, hold=threading.Event())
    assert served.hold is not None
    wanted = want({"url": server.url("/f")})
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(wanted.path), server.url("/f")]
    command += [str(wanted.pin.size), wanted.pin.sha256]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second,
    ):
        assert served.asked.wait(30)
        seen = ""
        told = {first: "", second: ""}
        for child in (first, second):
            assert child.stdout is not None
            told[child] = child.stdout.readline()
            seen += told[child]
        # One downloads and the other says that it waits; only then may the body come.
        assert "waiting for another process that is getting thing" in seen
        served.hold.set()
        for child in (first, second):
            assert child.stdout is not None
            assert child.stdout.read().endswith(f"{wanted.path}\n")
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(server.requests) == 1
    assert status(wanted) == "ok"


def test_waiting_is_told_and_ends(monkeypatch: pytest.MonkeyPatch, want: Want, tmp_path: Path, content: bytes) -> None:
    """The lock is held elsewhere: the waiter ticks, and finds what the holder has put there."""
    (tmp_path / "f").write_bytes(content)
    wanted = want({"file": "/nonexistent"})
    wanted.path.parent.mkdir(parents=True)
    monkeypatch.setattr(cache, "_LOCK_POLL_S", 0.0)
    ticks: list[str] = []
    with wanted.path.with_name(f".{wanted.path.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def tick(_done: int, _total: int | None, what: str) -> None:
            ticks.append(what)
            if len(ticks) == 3:
                wanted.path.write_bytes(content)
                fcntl.flock(held, fcntl.LOCK_UN)

        assert ensure(wanted, tick) == wanted.path
    assert ticks == ["waiting for another process that is getting thing"] * 3


def test_killed_half_way_then_run_again(server: FileServer, want: Want, content: bytes) -> None:
    """SIGKILL while the body comes: nothing has the file's name; the next run asks for the rest only."""
    server.files["/f"] = Served(content, cut_after=[100_000])
    wanted = want({"url": server.url("/f")})
    killer = CHILD.replace(
        "lambda done, total, what: print(what, flush=True)",
        "lambda done, total, what: done > 50000 and __import__('os').kill(__import__('os').getpid(), 9)",
    )
    command = [sys.executable, "-c", textwrap.dedent(killer), str(wanted.path), server.url("/f")]
    done = subprocess.run([*command, str(wanted.pin.size), wanted.pin.sha256], check=False, capture_output=True)
    assert done.returncode == -9
    assert status(wanted) == "absent"
    assert ensure(wanted).read_bytes() == content
    assert server.requests[-1]["Range"].startswith("bytes=")
