"""Pictures gathered from real files and a real RTSP camera: different ones, spread out, kept, never overwritten."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from detector.capture.collect import Gathered, gather
from detector.capture.picture_folder import MANIFEST, Format, PictureStore
from detector.config.schema import Camera
from detector.core.errors import SourceError, StorageError, UsageError
from detector.core.types import ArrayImage
from support import clips, scenes
from support.rtsp_server import RtspServer, why_not

WALK = [None] * 10 + list(range(0, 280, 4))  # a second of nobody, then seven seconds across the picture


def store(folder: Path, *, camera: str = "porch", picture_format: Format = "jpg", limit: int = 1 << 30) -> PictureStore:
    return PictureStore(folder, camera=camera, picture_format=picture_format, limit=limit)


def run(source: Path | str, folder: Path, *, count: int, every_s: float = 0.5, **options: Any) -> Gathered:
    camera = Camera(source=SecretStr(str(source)), timeout_s=2.0)
    return gather(camera=camera, store=store(folder, **options), count=count, every_s=every_s, report=lambda *_: None)


def manifest(folder: Path) -> list[dict[str, Any]]:
    document = json.loads((folder / MANIFEST).read_text())
    assert document["camera"] == "porch"
    pictures: list[dict[str, Any]] = document["pictures"]
    return pictures


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.clip(tmp_path_factory.mktemp("clips") / "walk.mp4", WALK)


def test_different_pictures_spread_over_time(walk: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = run(walk, out, count=6, every_s=1.0)
    assert (done.pictures, done.new, done.note) == (6, 6, None)
    entries = manifest(out)
    assert all(later["at_s"] - earlier["at_s"] > 0.0 for earlier, later in pairwise(entries))
    assert entries[-1]["at_s"] - entries[0]["at_s"] > 4.0
    thumbs = []
    for entry in entries:
        pixels = cv2.imread(str(out / entry["file"]))
        assert pixels is not None
        assert pixels.shape == (entry["height"], entry["width"], 3) == (240, 320, 3)
        assert (out / entry["file"]).stat().st_size == entry["bytes"]
        thumbs.append(cv2.resize(pixels[:, :, 1], (16, 12), interpolation=cv2.INTER_AREA).astype(int))
    assert all(np.abs(one - other).max() > 12 for i, one in enumerate(thumbs) for other in thumbs[:i])


def test_a_still_scene_is_kept_once_and_the_walker_is_found(tmp_path: Path) -> None:
    clip = scenes.clip(tmp_path / "c.mp4", [None] * 15 + [100] * 10 + [None] * 10)
    done = run(clip, tmp_path / "set", count=20)
    entries = manifest(tmp_path / "set")
    assert done.pictures == len(entries) < 6
    assert done.alike > 0
    assert done.note == f"the recording ended at {done.pictures} of 20 pictures"
    pixels = [np.asarray(cv2.imread(str(tmp_path / "set" / entry["file"]))) for entry in entries]
    assert sum(each[150, 112, 1] > 200 for each in pixels) == 1, "the walker, once"


def test_the_folder_is_for_its_owner_alone(walk: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    out.mkdir(mode=0o755)
    run(walk, out, count=2)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_set_is_gone_on_with_and_nothing_is_overwritten(walk: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(walk, out, count=3)
    before = {path.name: path.read_bytes() for path in out.glob("*.jpg")}
    (out / "porch-000004.jpg").write_bytes(b"left by a killed run")
    done = run(walk, out, count=6)
    assert (done.pictures, done.new) == (6, 3)
    assert {name: (out / name).read_bytes() for name in before} == before
    assert (out / "porch-000004.jpg").read_bytes() == b"left by a killed run"
    names = [entry["file"] for entry in manifest(out)]
    assert len(set(names)) == 6
    assert "porch-000004.jpg" not in names
    assert run(walk, out, count=6).new == 0, "it has as many as were asked for"


def test_what_was_seen_before_is_not_new_in_a_second_run(tmp_path: Path) -> None:
    clip = scenes.clip(tmp_path / "c.mp4", [50] * 8)
    run(clip, tmp_path / "set", count=1)
    with pytest.raises(SourceError, match="always the same picture"):
        run(clip, tmp_path / "set", count=2)


def test_png_keeps_every_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    path = store(tmp_path, picture_format="png").add(ArrayImage(pixels), at_s=0.0, wall=0.0, difference=1.0)
    assert np.array_equal(np.asarray(cv2.imread(str(path))), pixels)
    assert manifest(tmp_path)[0]["captured_at"] == "1970-01-01T00:00:00.000+00:00"


def test_a_dark_camera_is_said_to_be_dark(tmp_path: Path) -> None:
    clip = clips.clip(tmp_path / "dark.mp4", frames=30, grey=3)
    with pytest.raises(SourceError, match="darkness"):
        run(clip, tmp_path / "set", count=2)
    assert not (tmp_path / "set" / MANIFEST).exists()


def test_a_frozen_camera_does_not_keep_one_waiting(tmp_path: Path) -> None:
    clip = scenes.clip(tmp_path / "still.mp4", [30] * 60, frozen=True)
    with pytest.raises(SourceError, match=r"always the same picture.*the set has"):
        run(clip, tmp_path / "set", count=50, every_s=0.1)


def test_a_camera_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        run(tmp_path / "none.mp4", tmp_path / "set", count=1)
    with pytest.raises(SourceError, match="the same command continues"):
        run("rtsp://cam:s3cret@127.0.0.1:1/live", tmp_path / "set", count=1)


def test_the_disk_is_not_filled(walk: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"would pass 0 MiB at \d+ pictures: raise --max-mb"):
        run(walk, tmp_path, count=6, limit=30_000)
    entries = manifest(tmp_path)
    assert entries
    assert sum((tmp_path / entry["file"]).stat().st_size for entry in entries) <= 30_000


def test_a_foreign_folder_is_left_alone(walk: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not empty and no set of pictures"):
        run(walk, tmp_path, count=1)
    (tmp_path / "thesis.txt").unlink()
    run(walk, tmp_path, count=1)
    with pytest.raises(UsageError, match="pictures of camera porch"):
        run(walk, tmp_path, count=2, camera="yard")
    (tmp_path / MANIFEST).write_text('{"camera": "porch"')
    with pytest.raises(UsageError, match="damaged or not ours"):
        run(walk, tmp_path, count=2)


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_a_real_camera_over_rtsp(tmp_path: Path) -> None:
    with RtspServer(user="cam", password="p@ss:word") as server:
        done = run(server.url, tmp_path / "set", count=4, every_s=0.3)
    assert done.new == 4
    text = (tmp_path / "set" / MANIFEST).read_text()
    assert "word" not in text
    assert "rtsp" not in text
    entries = manifest(tmp_path / "set")
    assert all(later["at_s"] - earlier["at_s"] > 0.0 for earlier, later in pairwise(entries))


_FULL = """
import resource, signal, sys
from pathlib import Path
from detector.core.errors import StorageError
from detector.capture.picture_folder import PictureStore
from detector.core.types import ArrayImage
from support.scenes import square_at
store = PictureStore(Path(sys.argv[1]), camera="porch", picture_format="png", limit=1 << 30)
store.add(ArrayImage(square_at(None)), at_s=0.0, wall=0.0, difference=1.0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file may grow further: writes fail half-way
try:
    store.add(ArrayImage(square_at(50)), at_s=1.0, wall=1.0, difference=1.0)
except StorageError as error:
    print(error)
"""


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FULL, str(tmp_path / "set")]
    tests = str(Path(__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.stdout.startswith(f"cannot write to {tmp_path / 'set'}"), done.stderr
    assert len(manifest(tmp_path / "set")) == 1
    assert len(list((tmp_path / "set").iterdir())) == 2, "one picture and the manifest"
