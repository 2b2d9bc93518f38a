from __future__ import annotations

import io
import zipfile
from pathlib import Path

from detector.api.export import zipped
from support.control import event


def test_the_zip_comes_in_parts_and_no_part_holds_a_whole_clip(tmp_path: Path) -> None:
    clip = tmp_path / "long.mp4"
    clip.write_bytes(b"x" * (3 << 20))
    visits = [event(n, start=1_000_000.0 + n) for n in range(2)]
    parts = list(zipped(visits, lambda _id: b"jpeg", lambda _id: clip))
    assert max(map(len, parts)) < 1 << 20
    archive = zipfile.ZipFile(io.BytesIO(b"".join(parts)))
    assert archive.testzip() is None
    assert sorted(Path(name).suffix for name in archive.namelist()) == [
        ".jpg",
        ".jpg",
        ".json",
        ".json",
        ".mp4",
        ".mp4",
    ]


def test_no_visits_are_an_empty_zip() -> None:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped([], lambda _id: None, lambda _id: None))))
    assert archive.namelist() == []
