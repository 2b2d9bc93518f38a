"""The real thread with real child processes; only OpenVINO is hidden from the child."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from detector.analytics.pipeline import CameraPipeline
from detector.capture.camera import CaptureStats
from detector.capture.source import DecodeCounts
from detector.config.schema import Camera, Config
from detector.core.clock import SYSTEM_CLOCK
from detector.core.threads import ServiceThread
from detector.core.types import ArrayImage, Frame, Track
from detector.inference.layout import Layout
from detector.inference.multi_size import AnyDetector, MultiSizeDetector
from detector.models.autotune.candidates import Candidate
from detector.models.autotune.choice import Choice, place, read, scenes_of, write
from detector.models.autotune.loader import AutotunedLoader
from detector.models.autotune.samples import GAP_S, SampleQuota, unpack
from detector.models.autotune.status import AutotuneStatus
from detector.models.graph.variants import prepare
from detector.models.loading import resolve
from detector.service.autotuner import Autotuner
from detector.service.config_store import ConfigStore
from detector.service.inference_loop import CameraChannel
from detector.service.live_view import LiveScene, LiveView
from detector.service.model_host import Load
from support.inference import DEADLINE_S, RunningInference
from support.networks import network

COMMAND = [
    sys.executable,
    "-c",
    "import sys; sys.modules['openvino'] = None; from detector.models.autotune.worker_process import main; sys.exit(main())",
]
FAILS = [sys.executable, "-c", "import sys; sys.exit('no memory')"]
SHAPE = (160, 128)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    found = tmp_path / "small.onnx"
    onnx.save(network("dense", width=160, height=160), str(found))
    return found


def config(path: Path, **model: Any) -> Config:
    return Config.model_validate(
        {"model": {"name": str(path), "threads": 1, **model}, "cameras": {"a": {"source": "a.mp4"}}}
    )


def store_of(config: Config) -> ConfigStore:
    return ConfigStore(document={}, path=None, config=config)


CAPTURED = CaptureStats(
    state="online",
    error=None,
    frames=1,
    fps=10.0,
    width=640,
    height=480,
    reconnects=0,
    last_frame_mono=None,
    progress_mono=0.0,
    decode=DecodeCounts(),
)


class RecordedSwaps:
    """In the place of the model that serves: notes what is swapped in."""

    def __init__(self, detector: MultiSizeDetector) -> None:
        self.full: AnyDetector | None = detector
        self.loading, self.view = False, LiveView()
        self.swapped: list[tuple[str, tuple[int, int]]] = []

    def channel(self, name: str) -> CameraChannel:
        pipeline = CameraPipeline(name=name, settings=Camera.model_validate({"source": "a.mp4"}), device_id="test")
        return CameraChannel(name=name, pipeline=pipeline, view=self.view)

    def swap(self, detector: AnyDetector, _load: Load, *, wanted: Callable[[], bool]) -> bool:
        self.swapped.append((detector.precision, detector.input_size))
        detector.close()
        return wanted()


def tuner(
    store: ConfigStore,
    model: RecordedSwaps,
    status: AutotuneStatus,
    command: list[str] = COMMAND,
    *,
    settle_s: float = 0.0,
    quota: SampleQuota | None = None,
) -> Autotuner:
    return Autotuner(
        store=store,
        model=model,
        cameras=lambda: {"a": CAPTURED},
        channel=model.channel,
        status=status,
        clock=SYSTEM_CLOCK,
        command=command,
        prepare_s=0,
        settle_s=settle_s,
        need=quota,
    )


@pytest.fixture
def kept(path: Path) -> Path:
    """As an earlier start left it: the variant and the choice, made without pictures."""
    found = resolve(config(path).model)
    prepare(found.path, shape=SHAPE)
    for precision in ("auto", "fp32"):
        where = place(config(path, precision=precision).model, found)
        write(where, Choice(taken=Candidate(threads=1), why="-", shapes=(SHAPE,)))
    return place(config(path).model, found)


@pytest.fixture
def model(path: Path) -> Any:
    detector = AutotunedLoader(config(path).model, resolve(config(path).model))()
    assert isinstance(detector, MultiSizeDetector)
    yield RecordedSwaps(detector)
    detector.close()


@pytest.mark.slow
def test_the_model_serves_at_once_and_the_choice_takes_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.inference.DEADLINE_S", 90.0)  # two processes start and import, one after the other
    shop, status = RunningInference(path), AutotuneStatus()
    real = Autotuner(
        store=store_of(config(path, precision="fp32")),
        model=shop.model,
        cameras=lambda: {"a": CAPTURED},
        channel=shop.loop.channel,
        status=status,
        clock=SYSTEM_CLOCK,
        command=COMMAND,
        prepare_s=0,
        settle_s=0,
    )
    stage = ServiceThread(name="autotune", run=real.run)
    with shop:
        shop.model.wait_loaded(DEADLINE_S)
        stage.start()
        shop.feed_until(lambda: status.document()["state"] == "settled")
        served = shop.model.full
        assert isinstance(served, MultiSizeDetector)
        assert SHAPE in served.shapes
        assert shop.model.error is None
        assert stage.alive, "a thread that ends would end the service"
        assert stage.join(DEADLINE_S)
    told = status.document()
    assert told["taken"] == "onnxruntime fp32, 1 thread"
    assert told["shapes"] == ["160x128"]
    assert [each["refused"] for each in told["candidates"]] == [None]
    assert told["candidates"][0]["ms"] > 0


@pytest.mark.usefixtures("kept")
def test_the_second_start_measures_nothing(path: Path, model: RecordedSwaps) -> None:
    store, status = store_of(config(path, precision="fp32")), AutotuneStatus()
    tuner(store, model, status, FAILS)._assess(threading.Event())
    assert model.swapped == []
    assert status.document()["state"] == "settled"


@pytest.mark.usefixtures("kept")
def test_int8_waits_for_people_in_front_of_the_camera(path: Path, model: RecordedSwaps, tmp_path: Path) -> None:
    store, status = store_of(config(path)), AutotuneStatus()
    order = tmp_path / "order"
    keeping = [sys.executable, "-c", f"import sys; open({str(order)!r}, 'wb').write(sys.stdin.buffer.read())"]
    need = SampleQuota(pictures=30, pictures_each=30, visits_each=3, visits=3)
    stage = tuner(store, model, status, keeping, quota=need)
    stage._assess(threading.Event())
    assert "pictures with persons of a" in status.document()["note"]
    for seq in range(30):
        model.view.show(scene(seq, seq * GAP_S))
        stage._assess(threading.Event())
    evidence = unpack(order.read_bytes().partition(b"\n")[2])
    assert (len(evidence.calibration), len(evidence.held_out)) == (18, 12)
    assert evidence.scenes == tuple(scenes_of(store.config))
    assert evidence.calibration[0].width == 160
    leftovers = [file for file in tmp_path.rglob("*") if file.suffix in (".jpg", ".png", ".npz", ".npy")]
    assert leftovers == [], "nobody's picture is written to the disk"


def scene(seq: int, mono: float) -> LiveScene:
    pixels = np.random.default_rng(seq).integers(0, 256, (480, 640, 3), np.uint8)
    frame = Frame(camera="a", seq=seq, captured_mono=mono, captured_wall=mono, image=ArrayImage(pixels))
    person = Track(id=seq // 6, box=(0, 0, 9, 9), score=0.9, first_mono=mono, last_mono=mono, hits=5, matched=True)
    return LiveScene(frame=frame, people=(person,), moving=True)


def test_a_new_camera_takes_int8_back(path: Path, model: RecordedSwaps, kept: Path) -> None:
    store, status = store_of(config(path)), AutotuneStatus()
    variant = next((kept.parents[1] / "variants").glob("*.onnx")).name
    known = Choice(
        taken=Candidate(precision="int8", threads=1),
        why="-",
        shapes=(SHAPE,),
        scenes=tuple(scenes_of(store.config)),
        files={SHAPE: variant},
    )
    write(kept, known)
    stage = tuner(store, model, status)
    stage._assess(threading.Event())
    assert status.document()["state"] == "settled"
    model.swapped.clear()
    cameras = {"a": {"source": "a.mp4"}, "b": {"source": "b.mp4"}}
    store.replace({}, Config.model_validate({"model": store.config.model.model_dump(), "cameras": cameras}))
    stage._assess(threading.Event())
    assert len(model.swapped) == 1
    assert "int8 was calibrated on those of other cameras" in status.document()["why"].replace(", 1 thread", "")
    assert "pictures with persons of a, b" in status.document()["note"]
    assert read(kept) == known


def test_a_choice_made_by_the_command_is_taken_over_once(path: Path, model: RecordedSwaps, kept: Path) -> None:
    store, status = store_of(config(path)), AutotuneStatus()
    stage, stop = tuner(store, model, status, FAILS), threading.Event()
    stage._assess(stop)
    variant = next((kept.parents[1] / "variants").glob("*.onnx")).name
    made = Choice(
        taken=Candidate(precision="int8", threads=1), why="-", shapes=(SHAPE,), scenes=("b-1",), files={SHAPE: variant}
    )
    write(kept, made)
    stage._assess(stop)
    assert model.swapped == [], "of other cameras' pictures"
    write(kept, replace(made, scenes=tuple(scenes_of(store.config))))
    for _ in range(3):
        stage._assess(stop)
    assert len(model.swapped) == 1
    assert (status.document()["state"], status.document()["taken"]) == ("settled", "onnxruntime int8, 1 thread")
    assert status.document()["scenes"] == list(scenes_of(store.config))


@pytest.mark.usefixtures("kept")
def test_what_is_known_is_settled_before_the_rush_is_over(path: Path, model: RecordedSwaps) -> None:
    store, status = store_of(config(path, precision="fp32")), AutotuneStatus()
    stage = tuner(store, model, status, FAILS, settle_s=3600)
    stage._assess(threading.Event())
    assert status.document()["state"] == "settled"


def test_measuring_waits_until_the_rush_is_over(path: Path, model: RecordedSwaps) -> None:
    store, status = store_of(config(path, precision="fp32")), AutotuneStatus()
    prepare(path, shape=SHAPE)
    tuner(store, model, status, FAILS, settle_s=3600)._assess(threading.Event())
    assert status.document()["state"] == "waiting"


def test_a_failure_is_told_and_nothing_changes(path: Path, model: RecordedSwaps) -> None:
    status = AutotuneStatus()
    stage = ServiceThread(name="tuning", run=tuner(store_of(config(path)), model, status, FAILS).run)
    stage.start()
    deadline = threading.Event()
    for _ in range(200):
        if status.document()["state"] == "off":
            break
        deadline.wait(0.1)
    assert status.document()["note"] == "measuring failed: no memory"
    assert stage.alive
    assert stage.join(DEADLINE_S)
    assert model.swapped == []


@pytest.mark.parametrize(("asked", "why"), [({"backend": "onnxruntime"}, "backend onnxruntime is configured")])
def test_what_is_configured_is_not_measured(path: Path, model: RecordedSwaps, asked: dict[str, str], why: str) -> None:
    store, status = store_of(config(path, **asked)), AutotuneStatus()
    stage = tuner(store, model, status)
    for _ in range(2):
        stage._assess(threading.Event())
    assert (status.document()["state"], status.document()["note"]) == ("off", why)
    assert model.swapped == [("fp32", SHAPE)], "the exact size is made all the same"
    found = resolve(store.config.model)
    again = AutotunedLoader(store.config.model, found)
    assert again.choice is None
    detector = again()
    assert isinstance(detector, MultiSizeDetector)
    assert detector.shapes == (SHAPE,), "the next start loads that size and no other"
    detector.close()


@pytest.fixture
def two_cores() -> Iterator[None]:
    """For this process and its children."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one core leaves no choice")
    os.sched_setaffinity(0, sorted(before)[:2])
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
def test_the_threads_of_a_configured_backend_are_measured_once_and_kept(
    path: Path, model: RecordedSwaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, status = store_of(config(path, backend="onnxruntime", threads=0)), AutotuneStatus()
    stage = tuner(store, model, status)
    for _ in range(3):
        stage._assess(threading.Event())
    told = status.document()
    assert (told["state"], told["note"]) == ("settled", "backend onnxruntime is configured")
    assert [each["form"] for each in told["candidates"]] == [
        "onnxruntime fp32, 1 thread",
        "onnxruntime fp32, 2 threads",
    ]
    assert model.swapped == [("fp32", SHAPE)] * 2, "the exact size, then the threads; no third time"
    asked = store.config.model
    kept = read(place(asked, resolve(asked)))
    assert kept is not None
    opened: list[int] = []

    def loaded(*, threads: int, **_asked: Any) -> _Loaded:
        opened.append(threads)
        return _Loaded()

    monkeypatch.setattr("detector.models.loading.load_detector", loaded)
    AutotunedLoader(asked.model_copy(update={"probe": False}), resolve(asked))()
    assert set(opened) == {kept.taken.threads}

    later = AutotuneStatus()
    again = tuner(store, model, later, FAILS)
    again._assess(threading.Event())
    assert later.document()["taken"] == told["taken"], "what was measured is known at once"
    assert later.document()["state"] == "settled"


class _Loaded:
    input_size = (160, 160)
    layout = Layout(kind="dense", width=160, height=160)

    def close(self) -> None:
        """Nothing to let go of."""
