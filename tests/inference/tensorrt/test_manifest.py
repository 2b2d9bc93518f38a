from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from detector.core.errors import ModelError
from detector.inference.tensorrt import manifest
from detector.inference.tensorrt.manifest import require_fit
from support.engines import ORIN, PLAN, described, verdict, write_engine

COMMAND = r"run detector build models/yolov10n\.onnx --precision fp16 --output .*m\.engine"


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return tmp_path / "m.engine"


def test_what_was_written_is_read(engine: Path) -> None:
    made = write_engine(engine)
    assert manifest.read(engine) == made
    assert [path.name for path in engine.parent.iterdir() if path.name.startswith(".")] == []
    require_fit(engine, made, ORIN, model_sha256="a" * 64)


@pytest.mark.parametrize(
    "other",
    [
        {"model_sha256": "b" * 64},
        {"precision": "fp32"},
        {"shapes": {"images": [[1, 3, 384, 640]] * 3}},
        {"steps": ()},
        {"calibration": "c" * 64},
        {"detector": "0.2.0"},
    ],
    ids=lambda other: str(next(iter(other))),
)
def test_the_key_follows_all_that_the_engine_was_made_from(other: dict[str, Any]) -> None:
    assert described(**other).key != described().key


def test_the_command_makes_the_very_same_engine_again(engine: Path) -> None:
    made = dataclasses.replace(
        described(shapes={"images": [[n, 3, 640, 640] for n in (1, 4, 4)]}), calibrated_by="my pictures"
    )
    assert made.batch == 4
    assert made.rebuild(engine).endswith("m.engine --calibration 'my pictures' --batch 4")
    assert described().rebuild(engine).endswith("m.engine")


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(ORIN) if f.name != "driver"])
def test_the_key_follows_the_machine_and_a_stranger_is_refused(engine: Path, field: str) -> None:
    there = dataclasses.replace(ORIN, **{field: "9.9"})
    assert described(there).key != described().key
    with pytest.raises(ModelError, match=rf"was built for {field} .* \(here 9\.9\): {COMMAND}"):
        require_fit(engine, write_engine(engine), there, judged=False)


def test_a_new_driver_keeps_the_engine_but_not_the_verdict(engine: Path) -> None:
    there = dataclasses.replace(ORIN, driver="36.5.0")
    made = write_engine(engine)
    assert described(there).key == described().key
    require_fit(engine, made, there, judged=False)
    with pytest.raises(ModelError, match="has not been checked against ONNX Runtime on this machine"):
        require_fit(engine, made, there)


def test_another_model_is_refused(engine: Path) -> None:
    with pytest.raises(ModelError, match=rf"was built from another yolov10n\.onnx: {COMMAND}"):
        require_fit(engine, write_engine(engine), ORIN, model_sha256="b" * 64)


def test_a_plan_cut_short_or_damaged_is_refused(engine: Path) -> None:
    made = write_engine(engine)
    engine.write_bytes(PLAN[:-1])
    with pytest.raises(ModelError, match=rf"has 699 bytes instead of 700: {COMMAND}"):
        require_fit(engine, made, ORIN)
    engine.write_bytes(PLAN[:-1] + b"!")
    with pytest.raises(ModelError, match=rf"is damaged .*: {COMMAND}"):
        require_fit(engine, made, ORIN)
    engine.unlink()
    with pytest.raises(ModelError, match=rf"cannot read .*: {COMMAND}"):
        require_fit(engine, made, ORIN)


def test_what_was_not_accepted_is_refused(engine: Path) -> None:
    made = write_engine(engine, accepted=False)
    require_fit(engine, made, ORIN, judged=False)
    with pytest.raises(ModelError, match=rf"has not been checked .*: {COMMAND}"):
        require_fit(engine, made, ORIN)
    with pytest.raises(ModelError, match=rf"was refused \(it misses 3 of 40 persons\): {COMMAND}"):
        require_fit(engine, made.judged(verdict("it misses 3 of 40 persons"), ORIN), ORIN)


def test_no_manifest_half_a_one_and_one_changed_by_hand(engine: Path) -> None:
    write_engine(engine)
    path = manifest.path_of(engine)
    whole = path.read_text()
    path.write_text(whole.replace('"10.3.0"', '"10.4.0"'))
    with pytest.raises(ModelError, match="was changed by hand: build it anew with detector build"):
        manifest.read(engine)
    for broken in (whole[:100], "[]", "{}", json.dumps({**json.loads(whole), "format": 0})):
        path.write_text(broken)
        with pytest.raises(ModelError, match="build it anew with detector build"):
            manifest.read(engine)
    path.unlink()
    with pytest.raises(ModelError, match=r"has no m\.engine\.json beside it"):
        manifest.read(engine)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"cannot write .*m\.engine"):
        manifest.write_bytes(tmp_path / "file" / "m.engine", PLAN)
