from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml

from bench.drawn import numbered
from bench.glass import _latency_ms, _quantiles, _service, _stages_ms, _tune
from bench.rtsp import camera_url
from bench.subjects import Arrival, Inbox, Naive, Process, ServiceSubject, SubjectError, wait_for
from detector.config import document as configfile
from detector.models.autotune.choice import scenes_of
from support.networks import network


def jpeg(number: int) -> bytes:
    _, data = cv2.imencode(".jpg", numbered(np.full((240, 640, 3), 90, np.uint8), number))
    return bytes(data)


def test_an_alert_is_of_the_picture_published_before_it() -> None:
    box = Inbox(
        messages=[
            (1.0, "detector/alerts", b"{}"),  # its picture came before we listened
            (2.0, "detector/cam/person/snapshot", jpeg(41)),
            (2.1, "detector/alerts", b'{"latency_ms": {"capture_to_confirm": 31.5, "confirm_to_publish": 4.0}}'),
            (3.0, "detector/cam/person/snapshot", jpeg(1234)),
            (3.1, "detector/events", b"{}"),
            (3.2, "detector/alerts", b"{}"),
        ]
    )
    found = list(ServiceSubject("a", {}).arrivals(box))
    told = {"capture_to_confirm": 31.5, "confirm_to_publish": 4.0}
    assert found == [Arrival(mono=2.1, number=41, stages_ms=told), Arrival(mono=3.2, number=1234)]


def test_a_plain_loop_says_its_number_in_each_message() -> None:
    naive = Naive("plain", "ort", "model")
    box = Inbox(messages=[(1.0, "naive/frame", b'{"number": 7, "persons": 0}'), (2.0, "other", b"")])
    assert list(naive.arrivals(box)) == [Arrival(mono=1.0, number=7)]
    assert naive.done(box) == 1


def test_latency_counts_from_the_last_release_of_that_picture() -> None:
    released = [(5, 10.0), (6, 10.1), (5, 12.0), (6, 12.1)]
    assert _latency_ms(Arrival(mono=12.05, number=5), released) == pytest.approx(50.0)
    assert _latency_ms(Arrival(mono=11.0, number=6), released) == pytest.approx(900.0)
    assert _latency_ms(Arrival(mono=9.0, number=6), released) is None


def test_what_an_alert_does_not_tell_of_its_way_is_the_network() -> None:
    told = {"capture_to_confirm": 30.0, "confirm_to_publish": 5.0}
    stages = _stages_ms(Arrival(mono=1.0, number=1, stages_ms=told), 36.5)
    assert stages == {**told, "network": 1.5}
    assert _stages_ms(Arrival(mono=1.0, number=1), 36.5) == {}, "a plain loop tells nothing"
    assert _quantiles([stages, {**stages, "network": 2.5}])["network"] == {"p50": 2.0, "p99": 2.49}


def test_another_model_section_is_a_subject_of_its_own(tmp_path: Path) -> None:
    subject = _service("tiny={name: yolox-tiny-person, threads: 1}")
    command = subject.command(tmp_path, "rtsp://127.0.0.1:1/clip", 1883)
    config = yaml.safe_load(Path(command[-1]).read_text())
    assert subject.name == "tiny"
    assert config["model"] == {"name": "yolox-tiny-person", "threads": 1}
    assert config["cameras"]["cam"]["motion"] == {"enabled": False}


def test_a_subject_that_does_not_run_says_why(tmp_path: Path) -> None:
    words = "import sys; sys.exit('the model is not there')"
    process = Process([sys.executable, "-c", words], tmp_path / "said")
    with pytest.raises(SubjectError, match="it: no frame was looked at: the model is not there"):
        wait_for(lambda: False, process, "it")
    process.end()


def test_a_subject_whose_package_is_missing_is_left_out() -> None:
    assert ServiceSubject("a", {}, needs="no_such_package").why_not() == "the no_such_package package is not installed"
    assert ServiceSubject("a", {}, needs="numpy").why_not() is None


def test_only_a_choice_that_is_made_or_off_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    service = ServiceSubject("a", {})
    for choice, settled in (
        (None, True),
        ({"state": "off", "taken": None}, True),
        ({"state": "waiting", "taken": None}, False),
        ({"state": "measuring", "taken": "onnxruntime fp32"}, False),
        ({"state": "waiting", "taken": "openvino half"}, True),
        ({"state": "settled", "taken": "openvino half"}, True),
    ):
        monkeypatch.setattr(service, "status", lambda choice=choice: {"model": {"choice": choice}})
        assert service.settled() is settled, choice
    assert service.chooses
    assert not ServiceSubject("b", {"backend": "openvino"}).chooses


def test_a_tuned_subject_gets_a_cache_and_a_camera_at_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "usual"))
    onnx.save(network("dense", width=160, height=160), str(tmp_path / "small.onnx"))
    picture = tmp_path / "clip.png"
    cv2.imwrite(str(picture), np.full((90, 160, 3), 90, np.uint8))
    small = {"name": str(tmp_path / "small.onnx"), "precision": "fp32", "threads": 1}
    plain, tuned = ServiceSubject("plain", small), ServiceSubject("tuned", small, tuned=True)
    fixed = ServiceSubject("fixed", {**small, "backend": "onnxruntime"})
    left_out: dict[str, str] = {}
    _tune([fixed, plain, tuned], tmp_path / "caches", picture, left_out)
    assert left_out == {}
    assert "model.precision is fp32" in capsys.readouterr().err
    assert fixed.cache is None
    assert (plain.camera_port, bool(tuned.camera_port)) == (0, True)
    choices = {one.name: list((one.cache or tmp_path).glob("choices/*.json")) for one in (plain, tuned)}
    assert (len(choices["plain"]), len(choices["tuned"])) == (0, 1)
    assert not (tmp_path / "usual" / "choices").exists()
    (scene,) = scenes_of(configfile.validate(_document(tuned, tmp_path)))
    assert scene == next(iter(scenes_of(configfile.validate(_document(tuned, tmp_path / "caches"))))), "run after run"


def _document(service: ServiceSubject, folder: Path) -> dict[str, Any]:
    command = service.command(folder, camera_url(service.camera_port), 1883)
    document: dict[str, Any] = yaml.safe_load(Path(command[-1]).read_text())
    return document
