"""The recorder on real coded pictures: what is cut, extended, shared, given up, and what a full disk does."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest

from detector.alerts.clips.folder import ClipFolder
from detector.alerts.clips.recorder import ClipRecorder, ClipRequest
from detector.capture.recording.ring import PacketRing
from detector.capture.rtsp.annex_b import AnnexBFormat
from detector.capture.rtsp.nal import START
from support.rtsp_video import CodedVideo, coded
from support.stamped import read_ms
from support.visits import StillClock

FPS = 10
VIDEO = coded("h264", frames=600, gop=20, fps=FPS)


@dataclass
class Yard:
    """One camera that sends `video` from monotonic second 0 on, and the recorder beside it."""

    folder: Path
    video: CodedVideo = field(default_factory=lambda: VIDEO)
    hold_s: float = 8.0
    max_s: float = 300.0

    def __post_init__(self) -> None:
        self.clock = StillClock(mono=0.0)
        self.cameras = {"porch": PacketRing(hold_s=self.hold_s)}
        self.clips = ClipFolder(self.folder)
        self.recorder = ClipRecorder(rings=self, folder=self.clips, clock=self.clock, max_s=self.max_s)
        self.done: list[tuple[str, float]] = []
        self.recorder.listen(lambda event, _camera, seconds: self.done.append((event, seconds)))
        form = AnnexBFormat("h264", tuple(self.video.sets)).update(b"")
        assert form is not None
        self.form = form
        self.sent = 0

    def ring(self, camera: str) -> PacketRing | None:
        return self.cameras.get(camera)

    def play(self, until_s: float, *, step_s: float = 0.5) -> None:
        """Send what comes until then, the recorder looking at it every `step_s`."""
        while self.sent / FPS < until_s:
            picture, mono = self.video.pictures[self.sent], self.sent / FPS
            data = b"".join(START + unit for unit in picture.units)
            self.cameras["porch"].put(self.form, data, pts=int(mono * 90_000) + 77, mono=mono, key=picture.key)
            self.sent += 1
            self.clock.now_mono = mono
            if self.sent % max(1, round(step_s * FPS)) == 0:
                self.recorder.step()

    def ask(self, event: str, at_s: float, *, pre_s: float = 3.0, post_s: float = 4.0) -> None:
        assert self.recorder.request(
            ClipRequest(event_id=event, camera="porch", begin_mono=at_s - pre_s, end_mono=at_s + post_s)
        )

    def numbers(self, event: str) -> list[int]:
        with av.open(str(self.clips.path(event))) as container:
            return [read_ms(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]


def test_a_clip_is_from_the_last_key_frame_before_its_begin_to_its_end(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.play(15.0)
    yard.ask("v", 14.0)
    yard.play(30.0)
    assert yard.numbers("v") == list(range(100, 181)), "key frames are 2 s apart: from 10.0 s, not 11.0; to 18.0 s"
    assert [event for event, _ in yard.done] == ["v"]
    assert yard.done[0][1] == pytest.approx(8.1, abs=0.05)
    stats = yard.recorder.stats()
    assert (stats.written, stats.failed, stats.cut, stats.open, stats.clips) == (1, 0, 0, 0, 1)


def test_alerts_that_overlap_extend_the_clip_and_share_it(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.play(10.0)
    yard.ask("a", 10.0)
    yard.play(13.0)
    yard.ask("b", 13.0)
    yard.play(30.0)
    assert yard.numbers("a") == yard.numbers("b")
    assert yard.numbers("a")[-1] == 170
    assert yard.clips.path("a").stat().st_ino == yard.clips.path("b").stat().st_ino
    assert [event for event, _ in yard.done] == ["a", "b"]
    assert yard.recorder.stats().shared == 1


def test_a_later_alert_has_a_clip_of_its_own(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.play(10.0)
    yard.ask("a", 10.0)
    yard.play(25.0)
    yard.ask("b", 25.0)
    yard.play(40.0)
    assert yard.numbers("a")[-1] == 140
    assert yard.numbers("b")[0] == 220
    assert yard.clips.usage()[0] == 2


def test_reminders_do_not_extend_for_ever_nor_take_the_first_clips_place(tmp_path: Path) -> None:
    yard = Yard(tmp_path, max_s=12.0)
    yard.play(10.0)
    yard.ask("a", 10.0)
    yard.play(13.0)
    yard.ask("b", 13.0)
    yard.play(16.0)
    yard.ask("c", 16.0)  # 13 s with this one: another clip begins
    yard.play(35.0)
    assert yard.numbers("b")[-1] == 170
    assert yard.numbers("c")[-1] == 200
    before = yard.clips.path("a").read_bytes()
    yard.ask("a", 35.0)
    yard.play(50.0)
    assert yard.clips.path("a").read_bytes() == before


def test_reminders_of_one_visit_extend_its_clip_to_the_limit_and_make_no_other(tmp_path: Path) -> None:
    yard = Yard(tmp_path, max_s=12.0)
    for at_s in range(10, 40, 3):  # somebody who stays, with `repeat_s` shorter than a clip
        yard.play(float(at_s))
        yard.ask("a", float(at_s))
    yard.play(50.0)
    numbers = yard.numbers("a")
    assert numbers[0] == 60, "the key frame before 7.0 s"
    assert numbers[-1] == 190, "12 s after 7.0 s"
    assert [event for event, _ in yard.done] == ["a"]
    assert yard.done[0][1] == pytest.approx(13.1, abs=0.05)
    assert yard.recorder.stats().open == 0


def test_a_camera_that_goes_leaves_what_there_is(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.play(10.0)
    yard.ask("v", 9.9)
    yard.play(11.0)
    yard.clock.now_mono = 30.0
    yard.recorder.step()
    assert yard.numbers("v")[-1] == 109


def test_without_a_key_frame_it_waits_and_then_says_so(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.sent = 1  # joined after the key frame
    yard.play(1.5)
    yard.ask("v", 1.0)
    yard.recorder.step()
    assert yard.recorder.stats().open == 1
    yard.play(12.0)
    assert yard.numbers("v")[0] == 20, "from the first one that came"
    yard.cameras["porch"] = PacketRing(hold_s=8.0)
    yard.ask("w", 12.0)
    yard.clock.now_mono = 40.0
    yard.recorder.step()
    stats = yard.recorder.stats()
    assert stats.failed == 1
    assert stats.fault is not None
    assert "no key frame" in stats.fault
    assert stats.open == 0


def test_a_disk_slower_than_the_ring_cuts_at_a_key_frame(tmp_path: Path) -> None:
    yard = Yard(tmp_path, hold_s=3.0)
    yard.play(10.0)
    yard.ask("v", 10.0, post_s=20.0)
    yard.recorder.step()
    yard.play(20.0, step_s=1000.0)  # the recorder hangs for 10 s
    yard.play(40.0)
    numbers = yard.numbers("v")
    gaps = [(a, b) for a, b in itertools.pairwise(numbers) if b != a + 1]
    assert len(gaps) == 1
    assert gaps[0][1] % 20 == 0, "it goes on with a key frame"
    assert yard.recorder.stats().cut == 1


def test_a_camera_that_changes_its_size_ends_the_clip(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.play(10.0)
    yard.ask("v", 10.0, post_s=20.0)
    yard.play(12.0)
    other = coded("h264", frames=100, gop=20, fps=FPS, width=640, height=480)
    form = AnnexBFormat("h264", tuple(other.sets)).update(b"")
    assert form is not None
    yard.form = form
    yard.play(20.0)
    assert yard.numbers("v")[-1] == 119
    assert yard.recorder.stats().cut == 1


def test_a_camera_without_a_coded_stream_has_no_clip(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    assert not yard.recorder.request(ClipRequest(event_id="v", camera="usb", begin_mono=0.0, end_mono=1.0))


def test_a_folder_that_cannot_be_written_is_counted_and_said_once_and_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "clips"
    place.write_text("in the way")
    yard = Yard(place)
    for number in range(3):
        yard.play(10.0 + number)
        yard.ask(f"v{number}", 10.0 + number)
        yard.play(11.0 + number)
    assert yard.recorder.stats().failed == 3
    assert len([r for r in caplog.records if "no clip" in r.getMessage()]) == 1
    place.unlink()
    yard.ask("good", 12.0)
    yard.play(30.0)
    assert yard.clips.has("good")
    assert yard.recorder.stats().fault is None


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = ["tests", "."]
import importlib.util
spec = importlib.util.spec_from_file_location("recorder_tests", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["recorder_tests"] = module
spec.loader.exec_module(module)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
place = Path(sys.argv[2])
yard = module.Yard(place)
yard.play(10.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
yard.ask("full", 10.0)
yard.play(30.0)
stats = yard.recorder.stats()
assert stats.failed == 1, stats
assert stats.fault, stats
assert list(place.iterdir()) == [], list(place.iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
yard.ask("good", 30.0)
yard.play(45.0)
assert yard.clips.has("good")
assert yard.recorder.stats().fault is None
print(stats.fault)
"""


@pytest.mark.parametrize("limit", [0, 20, 30_000, 200_000])
def test_a_disk_that_is_full_at_any_moment_leaves_no_torn_file(tmp_path: Path, limit: int) -> None:
    """The limit on a file's size stands in for the disk's end: write(2) fails half-way."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, __file__, str(tmp_path / "clips"), str(limit)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot write" in done.stdout
