from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from detector.models.download.archive import extract
from detector.models.download.errors import UnavailableError

FILES = {"package/a/model.onnx": b"first", "package/b/model.onnx": b"second", "package/b/end2end.onnx": b"x" * 5000}


def _zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return path


def _tarball(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in FILES.items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            archive.addfile(item, io.BytesIO(data))
        link = tarfile.TarInfo("package/link.onnx")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.fixture(params=[_zip, _tarball])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Path = request.param(tmp_path / "archive")
    return made


@pytest.mark.parametrize(("member", "data"), [("package/a/model.onnx", b"first"), ("end2end.onnx", b"x" * 5000)])
def test_by_path_or_by_its_end(archive: Path, tmp_path: Path, member: str, data: bytes) -> None:
    extract(archive, member, tmp_path / "out", limit=5000)
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize(
    ("member", "said"), [("model.onnx", "holds 2 files"), ("nmodel.onnx", "holds no files"), ("link.onnx", "no files")]
)
def test_ambiguous_absent_and_links_are_refused(archive: Path, tmp_path: Path, member: str, said: str) -> None:
    with pytest.raises(UnavailableError, match=said):
        extract(archive, member, tmp_path / "out", limit=5000)


def test_a_bomb_stops_at_the_limit(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="larger than the expected 4999 bytes"):
        extract(archive, "end2end.onnx", tmp_path / "out", limit=4999)


def test_damaged_archives_are_told(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[40:60] = b"\0" * 20
    archive.write_bytes(data)
    with pytest.raises(UnavailableError, match=r"damaged|holds no files"):
        extract(archive, "package/a/model.onnx", tmp_path / "out", limit=5000)


def test_cut_off_archives_are_told(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(UnavailableError, match="damaged"):
        extract(archive, "package/b/end2end.onnx", tmp_path / "out", limit=5000)


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>please sign in</html>")
    with pytest.raises(UnavailableError, match="damaged"):
        extract(tmp_path / "page.html", "a", tmp_path / "out", limit=10)
