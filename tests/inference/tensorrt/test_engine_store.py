from __future__ import annotations

from pathlib import Path

import pytest

from detector.core.errors import ModelError
from detector.inference.tensorrt.engine_store import engine_path, find
from support.engines import ORIN, described, write_engine

SHA = "a" * 64
MODEL = Path("models/yolov10n.onnx")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTOR_CACHE", str(tmp_path))


def test_no_engine_says_how_to_make_one() -> None:
    with pytest.raises(ModelError, match=r"no engine was built from yolov10n\.onnx .*: run detector build models/yolo"):
        find(MODEL, SHA, ORIN)


def test_the_fastest_that_is_accepted_serves() -> None:
    fp16, fp32 = (engine_path(MODEL, SHA, precision) for precision in ("fp16", "fp32"))
    write_engine(fp16, accepted=False)
    write_engine(fp32, described(precision="fp32"))
    assert find(MODEL, SHA, ORIN) == fp32
    write_engine(fp16)
    assert find(MODEL, SHA, ORIN) == fp16
    assert find(MODEL, SHA, ORIN, precisions=("fp32",)) == fp32


def test_one_that_does_not_fit_says_why() -> None:
    write_engine(engine_path(MODEL, SHA, "fp16"), described(model_sha256="b" * 64))
    with pytest.raises(ModelError, match="was built from another"):
        find(MODEL, SHA, ORIN)
