from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.capture.file import FileSource
from detector.capture.source import CapturedImage, Source
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import EndOfStreamError, SourceError
from support.clips import clip, sound
from support.stamped import read_ms


class Skipping:
    """A clock whose waits take no time: it jumps to where the wait would end."""

    def __init__(self) -> None:
        self.now = 50.0
        self.waits: list[float] = []

    def mono(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def event(self) -> threading.Event:
        clock = self

        class CountingEvent(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                clock.waits.append(timeout or 0.0)
                clock.now += timeout or 0.0
                return False

        return CountingEvent()


def read_all(source: Source, limit: int = 1000) -> list[CapturedImage]:
    source.open()
    grabs: list[CapturedImage] = []
    try:
        while len(grabs) < limit:
            grabs.append(source.read())
    except EndOfStreamError:
        pass
    finally:
        source.close()
    return grabs


def media(grabs: list[CapturedImage]) -> list[float]:
    return [g.media_s for g in grabs if g.media_s is not None]


def numbers(grabs: list[CapturedImage]) -> list[int]:
    return [read_ms(g.image.luma()) for g in grabs]


def why(path: Path) -> str:
    source = FileSource(path=path)
    with pytest.raises(SourceError) as caught:
        read_all(source)
    assert not isinstance(caught.value, EndOfStreamError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


CLIPS = {
    "plain.mp4": {},
    "b-frames.mp4": {"options": {"bf": "3"}},
    "b-frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "no-stamps.h264": {},
    "no-stamps.mjpeg": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "odd-size.mkv": {"codec": "ffv1", "width": 321, "height": 241},
    "grey.mkv": {"codec": "ffv1", "pixel_format": "gray"},
    "ten-bit.mkv": {"codec": "ffv1", "pixel_format": "yuv420p10le"},
    "packed-rgb.mkv": {"codec": "ffv1", "pixel_format": "bgr0"},
}


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_comes_once_in_order_with_its_time(tmp_path: Path, name: str) -> None:
    grabs = read_all(FileSource(path=clip(tmp_path / name, frames=12, **CLIPS[name])))  # type: ignore[arg-type]
    assert numbers(grabs) == list(range(12))
    assert media(grabs) == pytest.approx([i / 25 for i in range(12)], abs=0.002)


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    path = clip(tmp_path / "vfr.mkv", frames=5, pts=[0, 40, 300, 310, 900])
    assert media(read_all(FileSource(path=path))) == pytest.approx([0.0, 0.04, 0.3, 0.31, 0.9])


def test_media_time_starts_at_zero_whatever_the_file_says(tmp_path: Path) -> None:
    path = clip(tmp_path / "late.mkv", frames=3, pts=[7000, 7040, 7080])
    assert media(read_all(FileSource(path=path))) == pytest.approx([0.0, 0.04, 0.08])


def test_loop_goes_on_in_media_time(tmp_path: Path) -> None:
    grabs = read_all(FileSource(path=clip(tmp_path / "a.mp4", frames=6), loop=True), limit=15)
    assert numbers(grabs) == [*range(6), *range(6), *range(3)]
    assert media(grabs) == pytest.approx([i / 25 for i in range(15)])


def test_end_of_a_file_is_said_each_time(tmp_path: Path) -> None:
    source = FileSource(path=clip(tmp_path / "a.mp4", frames=2))
    source.open()
    source.read()
    source.read()
    for _ in range(2):
        with pytest.raises(EndOfStreamError, match="end of file"):
            source.read()
    source.close()
    source.close()


def test_a_closed_source_opens_again_from_the_start(tmp_path: Path) -> None:
    source = FileSource(path=clip(tmp_path / "a.mp4", frames=3))
    assert numbers(read_all(source)) == numbers(read_all(source)) == [0, 1, 2]
    with pytest.raises(SourceError, match="not open"):
        source.read()


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "door%02d.jpg"  # a name, not FFmpeg's pattern of names
    cv2.imwrite(str(path), np.full((50, 70, 3), 90, np.uint8))
    grabs = read_all(FileSource(path=path))
    assert len(grabs) == 1
    assert grabs[0].image.bgr().shape == (50, 70, 3)
    assert abs(int(grabs[0].image.bgr()[20, 20, 0]) - 90) <= 1


def test_a_looped_picture_stands_still_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "door.png"
    cv2.imwrite(str(path), np.zeros((50, 70, 3), np.uint8))
    assert media(read_all(FileSource(path=path, loop=True), limit=3)) == pytest.approx([0.0, 0.2, 0.4])


def test_a_name_with_a_colon_is_a_file(tmp_path: Path) -> None:
    assert len(read_all(FileSource(path=clip(tmp_path / "a.mp4", frames=2).rename(tmp_path / "12:30.mp4")))) == 2


def test_what_is_not_a_video_is_told_apart(tmp_path: Path) -> None:
    text = "not a video at all\n" * 200
    (tmp_path / "text.mp4").write_text(text)
    (tmp_path / "text.txt").write_text(text)
    (tmp_path / "empty.mp4").touch()
    cut = clip(tmp_path / "cut.mp4")
    cut.write_bytes(cut.read_bytes()[:1500])
    assert "no such file" in why(tmp_path / "nowhere.mp4")
    assert "directory" in why(tmp_path)
    assert "not a regular file" in why(Path("/dev/null"))
    assert "empty" in why(tmp_path / "empty.mp4")
    assert "not a video" in why(tmp_path / "text.mp4")
    assert "text file" in why(tmp_path / "text.txt")
    assert "not a video" in why(cut)
    assert "only audio" in why(sound(tmp_path / "speech.wav"))


def test_an_unreadable_file_names_its_permissions(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=2)
    path.chmod(0)
    try:
        path.open("rb").close()
    except PermissionError:
        assert "permissions" in why(path)
    else:
        pytest.skip("this user may read everything")


def test_damage_in_the_middle_costs_frames_not_the_clip(tmp_path: Path) -> None:
    path = clip(tmp_path / "scratched.avi", frames=30, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(path.read_bytes())
    middle = data.index(b"\xff\xd8", len(data) // 2)
    data[middle + 2 : middle + 600] = bytes(598)
    path.write_bytes(bytes(data))
    grabs = read_all(FileSource(path=path))
    assert 25 <= len(grabs) <= 30
    assert numbers(grabs)[-1] == 29


def test_nothing_but_damage_is_an_error_not_an_end(tmp_path: Path) -> None:
    few, many = (clip(tmp_path / f"{count}.mp4", frames=count, options={"g": "10"}) for count in (20, 150))
    for path in (few, many):
        data = bytearray(path.read_bytes())
        start = data.index(b"mdat") + 4
        size = int.from_bytes(data[start - 8 : start - 4], "big") - 8
        data[start : start + size] = b"\xff" * size
        path.write_bytes(bytes(data))
    assert "not one picture" in why(few)
    assert "100 packets in a row" in why(many)


def test_paced_reading_takes_the_clips_own_time(tmp_path: Path) -> None:
    source = FileSource(path=clip(tmp_path / "a.mp4", frames=10), paced=True)
    start = SYSTEM_CLOCK.mono()
    assert len(read_all(source)) == 10
    assert SYSTEM_CLOCK.mono() - start >= 9 / 25


def test_pacing_waits_by_the_stamps(tmp_path: Path) -> None:
    clock = Skipping()
    path = clip(tmp_path / "vfr.mkv", frames=4, pts=[0, 40, 300, 900])
    read_all(FileSource(path=path, paced=True, stop=clock.event(), clock=clock))
    assert clock.waits == pytest.approx([0.04, 0.26, 0.6])


def test_a_reader_that_falls_behind_misses_frames_like_with_a_camera(tmp_path: Path) -> None:
    clock = Skipping()
    source = FileSource(path=clip(tmp_path / "a.mp4", frames=100), paced=True, stop=clock.event(), clock=clock)
    source.open()
    ages = []
    for _ in range(9):
        grab = source.read()
        assert grab.media_s is not None
        ages.append(clock.now - 50.0 - grab.media_s)
        clock.now += 0.4  # what a slow reader does meanwhile
    source.close()
    assert max(ages) <= 0.051
    assert clock.now - 50.0 == pytest.approx(9 * 0.4, abs=0.1)


def test_a_decoder_that_cannot_keep_up_gives_slow_motion_rather_than_nothing(tmp_path: Path) -> None:
    class Slow(Skipping):
        """Each look at the clock costs what decoding on an overloaded machine would."""

        def mono(self) -> float:
            self.now += 0.1
            return self.now

    clock = Slow()
    source = FileSource(path=clip(tmp_path / "a.mp4", frames=60), paced=True, stop=clock.event(), clock=clock)
    grabs = read_all(source)
    assert len(grabs) >= 5


def test_a_pause_in_the_clip_does_not_look_like_a_hang(tmp_path: Path) -> None:
    clock = Skipping()
    path = clip(tmp_path / "gap.mkv", frames=4, pts=[0, 40, 60_040, 60_080])
    grabs = read_all(FileSource(path=path, paced=True, stop=clock.event(), clock=clock))
    assert media(grabs) == pytest.approx([0.0, 0.04, 60.04, 60.08])
    assert clock.waits == pytest.approx([0.04, 5.0, 0.04])


def test_stop_ends_a_wait_at_once(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    path = clip(tmp_path / "gap.mkv", frames=3, pts=[0, 4_000, 8_000])
    start = SYSTEM_CLOCK.mono()
    assert len(read_all(FileSource(path=path, paced=True, stop=stop))) == 3
    assert SYSTEM_CLOCK.mono() - start < 4.0


def test_real_footage(shared: Path) -> None:
    path = shared / "media/video/vtest.avi"
    reader = cv2.VideoCapture(str(path))
    _, expected = reader.read()
    reader.release()
    source = FileSource(path=path)
    source.open()
    first = source.read()
    assert first.media_s == 0.0
    assert (first.image.width, first.image.height) == (768, 576)
    assert np.abs(first.image.bgr().astype(int) - expected).mean() < 1.0
    times = [0.0]
    with pytest.raises(EndOfStreamError):
        times.extend(grab.media_s or 0.0 for grab in iter(source.read, None))
    source.close()
    assert times == pytest.approx([i / 10 for i in range(795)])
