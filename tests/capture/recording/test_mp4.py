"""MP4 files of real encoders' pictures: read back by a second reader, whole, in order, with the right times."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from detector.capture.packets import TICKS, EncodedPicture, StreamFormat
from detector.capture.recording.mp4 import ClipTimeline, Mp4Writer, check_boxes
from detector.capture.rtsp.annex_b import AnnexBFormat
from detector.capture.rtsp.nal import START
from detector.core.errors import StorageError
from support.rtsp_video import CodedVideo, coded
from support.stamped import read_ms


def pictures(video: CodedVideo, *, begin: int = 0, mono: float = 50.0, run: int = 1) -> list[EncodedPicture]:
    """As a camera's stream gives them: stamps from anywhere, `number` on its bars."""
    form = AnnexBFormat(video.codec, tuple(video.sets)).update(b"")
    assert form is not None
    return [
        EncodedPicture(
            data=b"".join(START + unit for unit in picture.units),
            pts=1_000_000 + picture.number * TICKS // video.fps,
            mono=mono + i / video.fps,
            key=picture.key,
            run=run,
            format=form,
        )
        for i, picture in enumerate(video.pictures[begin:])
    ]


def written(path: Path, given: list[EncodedPicture], *, step: int = 7) -> Mp4Writer:
    writer = Mp4Writer(path, given[0].format)
    for at in range(0, len(given), step):
        writer.write(given[at : at + step])
    writer.close()
    return writer


def read_back(path: Path) -> tuple[list[int], list[float], float]:
    """(the numbers on the pictures, when they are shown, the whole length), by FFmpeg."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        assert stream.duration is not None
        length = float(stream.duration * stream.time_base)
        numbers, times = [], []
        for frame in container.decode(stream):
            numbers.append(read_ms(frame.to_ndarray(format="gray")))
            times.append(float(frame.time))
    return numbers, times, length


@pytest.mark.parametrize(("codec", "tag"), [("h264", "avc1"), ("hevc", "hvc1")])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_picture_is_there_at_its_time(tmp_path: Path, codec: str, tag: str, b_frames: int) -> None:
    path = tmp_path / "clip.mp4"
    video = coded(codec, frames=60, gop=20, b_frames=b_frames)
    writer = written(path, pictures(video))
    numbers, times, length = read_back(path)
    assert numbers == list(range(60))
    assert times == pytest.approx([i / 25 for i in range(60)], abs=1e-4)
    assert length == pytest.approx(60 / 25, abs=0.05)
    assert writer.duration_s == pytest.approx(60 / 25, abs=0.05)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec_tag, context.width, context.height) == (tag, 320, 240)
        assert container.streams.video[0].time_base == pytest.approx(1 / TICKS)


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    written(path, pictures(coded("h264", frames=30)))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert data[4:8] == b"ftyp"


def test_leading_pictures_of_an_open_group_are_left_out(tmp_path: Path) -> None:
    given = pictures(coded("h264", frames=30, gop=10))
    early = EncodedPicture(
        data=given[5].data, pts=given[0].pts - 3600, mono=given[0].mono, key=False, run=1, format=given[0].format
    )
    written(tmp_path / "clip.mp4", [given[0], early, *given[1:]])
    assert read_back(tmp_path / "clip.mp4")[0] == list(range(30))


def test_an_outage_lasts_as_long_as_it_did_and_a_clock_that_was_set_does_not(tmp_path: Path) -> None:
    video = coded("h264", frames=20, gop=10)
    before = pictures(video, mono=50.0)
    after = [
        EncodedPicture(data=p.data, pts=p.pts - 900_000_000, mono=p.mono + 4.0, key=p.key, run=2, format=p.format)
        for p in pictures(video, mono=50.0)
    ]
    jumped = [
        EncodedPicture(data=p.data, pts=p.pts + 90_000_000_000, mono=p.mono + 8.0, key=p.key, run=2, format=p.format)
        for p in pictures(video, mono=50.0)
    ]
    written(tmp_path / "clip.mp4", [*before, *after, *jumped])
    _, times, length = read_back(tmp_path / "clip.mp4")
    assert len(times) == 60
    assert times[20] == pytest.approx(4.0, abs=0.05)
    assert times[40] == pytest.approx(8.0, abs=0.05)
    assert length == pytest.approx(8.8, abs=0.1)
    assert times == sorted(times)


def test_stamps_that_stand_still_or_go_back_a_little_never_fail(tmp_path: Path) -> None:
    given = pictures(coded("h264", frames=40, gop=10))
    odd = [
        EncodedPicture(data=p.data, pts=p.pts - (i % 7 == 3) * 5000, mono=p.mono, key=p.key, run=1, format=p.format)
        for i, p in enumerate(given)
    ]
    same = [EncodedPicture(data=p.data, pts=7, mono=p.mono, key=p.key, run=1, format=p.format) for p in given]
    written(tmp_path / "odd.mp4", odd)
    assert len(read_back(tmp_path / "odd.mp4")[0]) >= 30
    written(tmp_path / "same.mp4", same)
    check_boxes(tmp_path / "same.mp4")


def test_a_codec_that_would_have_to_be_encoded_again_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no clip can be made of theora video"):
        Mp4Writer(tmp_path / "x.mp4", StreamFormat(codec="theora", extradata=b"", width=8, height=8))


def test_a_file_that_was_cut_short_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    written(path, pictures(coded("h264", frames=30)))
    check_boxes(path)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 40, 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut short|damaged"):
            check_boxes(path)


def test_abandoned_leaves_nothing(tmp_path: Path) -> None:
    given = pictures(coded("h264", frames=30))
    writer = Mp4Writer(tmp_path / "clip.mp4", given[0].format)
    writer.write(given)
    writer.abandon()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    form = pictures(coded("h264", frames=3))[0].format
    with pytest.raises(StorageError, match=r"^cannot write .*: No such file or directory$"):
        Mp4Writer(tmp_path / "gone" / "clip.mp4", form)


def test_times_go_on_over_a_new_connection() -> None:
    form = StreamFormat(codec="h264", extradata=b"", width=8, height=8)
    timeline = ClipTimeline()

    def at(pts: int, mono: float, run: int) -> int:
        return timeline.at(EncodedPicture(data=b"", pts=pts, mono=mono, key=True, run=run, format=form))

    assert at(500, 1.0, 1) == 0
    assert at(500 + TICKS, 2.0, 1) == TICKS
    assert at(3, 5.0, 2) == 4 * TICKS
    assert at(3 + TICKS, 6.0, 2) == 5 * TICKS
