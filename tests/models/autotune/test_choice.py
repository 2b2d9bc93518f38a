"""The choice as it is kept: read back whole, bound to model, wish and machine, never trusted when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.config.model_settings import Model
from detector.config.schema import Config
from detector.models.autotune import machine
from detector.models.autotune.candidates import Candidate
from detector.models.autotune.choice import CandidateResult, Choice, parse, place, read, scenes_of, write
from detector.models.registry import Resolved
from support.inference import WALKER, end_to_end_model

INT8 = Candidate(precision="int8-mixed", threads=1)
CHOICE = Choice(
    taken=INT8,
    why="the best buy",
    shapes=((416, 256), (416, 416)),
    scenes=("porch-01234567",),
    files={(416, 256): "tiny-0.onnx"},
    results=(
        CandidateResult(form=Candidate(threads=2), ms=10.5, cpu_ms=19.0, refused=None),
        CandidateResult(form=INT8, ms=None, cpu_ms=None, refused="it misses 3 of 20 persons"),
    ),
    failed={"openvino half, 1 thread": "no"},
    spare=Candidate(backend="openvino", threads=2),
)


def resolved(path: Path) -> Resolved:
    return Resolved(name="m", path=path, spec=None, entry=None)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "choices" / "m.json"
    assert read(path) is None
    write(path, CHOICE)
    assert read(path) == CHOICE
    assert [file.name for file in path.parent.iterdir()] == ["m.json"]


@pytest.mark.parametrize(
    "damage", ["", "[]", "{}", '{"taken": {"backend": "abacus", "precision": "fp32", "threads": 1}}']
)
def test_a_damaged_one_counts_as_none(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "m.json"
    path.write_text(damage, encoding="utf-8")
    assert read(path) is None
    assert "made again" in caplog.text


def test_an_unknown_form_is_refused() -> None:
    document = json.loads(json.dumps(CHOICE.document()))
    document["taken"]["precision"] = "int2"
    with pytest.raises(ValueError, match="no form"):
        parse(document)


def test_another_model_wish_or_machine_has_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path))
    one = resolved(end_to_end_model(tmp_path / "m.onnx", [WALKER]))
    here = place(Model(), one)
    assert place(Model(), one) == here
    places = {here, place(Model(threads=2), one), place(Model(precision="fp32"), one)}
    places.add(place(Model(), resolved(end_to_end_model(tmp_path / "m2.onnx", [WALKER, WALKER]))))
    monkeypatch.setattr("detector.models.autotune.choice.machine_key", lambda: "another")
    places.add(place(Model(), one))
    assert len(places) == 5


def test_the_machine_is_its_cpu_cores_and_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = tmp_path / "cpuinfo"
    cpus.write_text(
        "model name\t: A\nflags\t\t: sse amx_bf16\ncpu MHz\t\t: 2000\n\nmodel name\t: B\n", encoding="utf-8"
    )
    key = machine.machine_key(cpus)
    cpus.write_text(cpus.read_text(encoding="utf-8").replace("2000", "3000"), encoding="utf-8")
    assert machine.machine_key(cpus) == key, "the clock of the moment says nothing"
    for old, new in ((" amx_bf16", ""), ("A", "C")):
        other = tmp_path / "other"
        other.write_text(cpus.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        assert machine.machine_key(other) != key
    monkeypatch.setattr("detector.models.autotune.machine._version", lambda package: f"{package} 99")
    assert machine.machine_key(cpus) != key
    assert machine.machine_key(tmp_path / "none")


def test_int8_serves_only_cameras_whose_pictures_it_knows() -> None:
    assert CHOICE.serves(["porch-01234567"])
    assert not CHOICE.serves(["porch-01234567", "garage-01234567"])
    gone = CHOICE.without(INT8, "it broke", threads=3)
    assert (gone.taken, gone.files) == (Candidate(threads=3), {})
    assert gone.serves(["garage-01234567"])
    assert gone.failed == {"openvino half, 1 thread": "no", str(INT8): "it broke"}
    assert CHOICE.covers([(416, 256)])
    assert not CHOICE.covers([(320, 416)])


def test_a_scene_keeps_no_secret_and_follows_its_source() -> None:
    def one(source: str) -> str:
        cameras = {"porch": {"source": source}, "off": {"source": "a.mp4", "enabled": False}}
        (scene,) = scenes_of(Config.model_validate({"cameras": cameras}))
        return scene

    assert one("rtsp://u:secret@h/1") == one("rtsp://u:other@h/1")
    assert one("rtsp://h/1") != one("rtsp://h/2")
    assert one("a.mp4").startswith("porch-")
