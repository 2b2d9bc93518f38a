"""A study over real processes and a small real network: measured, kept, taken up again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.core.errors import InferenceError, ModelError
from detector.optimize.study import study as measuring
from detector.optimize.study.child_process import Child
from detector.optimize.study.grid import GridLimits
from detector.optimize.study.measure import Speed
from detector.optimize.study.publish import publish
from detector.optimize.study.recipe import read
from detector.optimize.study.repeat import repeat
from detector.optimize.study.request import ORT, StudyRequest
from detector.optimize.study.study import Study, StudyOutcome
from detector.optimize.study.subject import StudySubject
from support.studies import SIDE, request, small_model


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("detector.optimize.study.request.torch_there", lambda: False)  # its own tests: test_eager


def subject(path: Path) -> StudySubject:
    return StudySubject(label="small", path=str(path), engine="onnxruntime", threads=1, shape=(SIDE, SIDE))


@pytest.mark.slow
def test_measured_kept_and_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path)
    told: list[tuple[int, int | None, str]] = []
    first = Study(asked, progress=lambda *report: told.append(report)).run()
    assert [str(cell.variant) for cell in first.cells] == [
        f"fp32 {head} {SIDE}x{SIDE}, ONNX Runtime 1 thread" for head in ("whole head", "person-only")
    ]
    for cell in first.cells:
        reference = cell.baselines[ORT]
        assert isinstance(reference, Speed)
        assert 0 < cell.speed.infer_ms <= cell.speed.p50_ms <= cell.speed.p99_ms
        assert cell.speed.samples == reference.samples == 9
        assert cell.speed.peak_mib is not None
        assert 20 < cell.speed.peak_mib < 1000
    assert first.reference == {"truth": first.cells[0].accuracy["truth"]}
    assert told[-1][0] <= (told[-1][1] or 0)

    # Everything is there: no process is started.
    monkeypatch.setattr(measuring, "measure", lambda *_, **__: pytest.fail("measured again"))
    assert Study(asked).run().cells == first.cells
    monkeypatch.undo()
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path / "cache"))

    # One cell is gone and one was cut short: both are measured again, judged they are still.
    kept = tmp_path / "out" / "cells"
    (kept / f"{first.cells[0].key}.json").write_text('{"speed": ')
    stamps = {path: path.stat().st_mtime_ns for path in kept.rglob("*.json")}
    again = Study(asked).run()
    changed = [path.stem for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert changed == [first.cells[0].key]
    assert [cell.key for cell in again.cells] == [cell.key for cell in first.cells]

    _published(asked, again, tmp_path)


def _published(asked: StudyRequest, outcome: StudyOutcome, folder: Path) -> None:
    """The files of a study, and its model made again from the recipe."""
    found = publish(asked, outcome, str(asked.path))
    out = folder / "out"
    assert sorted(path.name for path in out.iterdir()) == ["cells", "model.onnx", "recipe.yaml", "report.html", "report.json"]  # fmt: skip
    assert json.loads((out / "report.json").read_text()) == found
    recipe = read(out / "recipe.yaml")
    done = repeat(recipe, folder / "again", lambda *_: None)
    assert done.same
    assert done.file.read_bytes() == (out / "model.onnx").read_bytes()
    asked.path.write_bytes(asked.path.read_bytes() + b"\x1a\x00")  # another file by the same name
    with pytest.raises(ModelError, match="another model than the recipe's"):
        repeat(recipe, folder / "again", lambda *_: None)


def test_a_variant_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    asked = request(
        tmp_path,
        limits=GridLimits(
            shapes=[(SIDE, SIDE)],
            backends=["onnxruntime"],
            threads=[1],
            sources=["model", "cut"],
            calibrated=False,
            quick=True,
        ),
        candidates={"cut": tmp_path / "cut.onnx"},
    )
    (tmp_path / "cut.onnx").write_bytes(asked.path.read_bytes()[:-100])
    found = Study(asked).run()
    assert len(found.cells) == 2
    assert {variant.form.source for variant in found.failed} == {"cut"}
    assert all("cut short" in why or "ONNX" in why for why in found.failed.values())


def test_a_child_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not an ONNX model, or is cut short"):
        Child(subject(tmp_path / "broken.onnx"))


def test_a_child_that_dies_is_one_line(tmp_path: Path) -> None:
    with Child(subject(small_model(tmp_path))) as child:
        with pytest.raises(InferenceError, match="cannot read the picture"):
            child.run(tmp_path / "none.png", 1)
        child._process.kill()
        with pytest.raises(InferenceError, match=r"its process ended \(-9\)"):
            child.run(tmp_path / "none.png", 1)
