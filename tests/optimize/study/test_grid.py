"""Which variants are tried."""

from __future__ import annotations

from typing import Any

import pytest

from detector.core.errors import ModelError, UsageError
from detector.optimize.study.forms import MAKERS
from detector.optimize.study.grid import GridLimits, variants
from detector.optimize.study.machine import base_size, limits


def of(**changed: Any) -> GridLimits:
    values: dict[str, Any] = {
        "shapes": [(640, 640), (640, 384)],
        "backends": ["onnxruntime", "openvino"],
        "threads": [1, 2],
        "half": ["openvino"],
    }
    return GridLimits(**{**values, **changed})


def test_every_form_meets_every_runtime_that_it_is_meant_for() -> None:
    grid = variants(of())
    assert len(set(grid)) == len(grid)
    for each in grid:
        assert each.runtime.backend in MAKERS[each.form.precision].backends
    plain = [v for v in grid if v.form.precision == "fp32" and v.form.shape == (640, 384) and v.runtime.threads == 2]
    told = sorted((v.form.person_only, v.runtime.backend, v.runtime.half) for v in plain)
    runtimes = [("onnxruntime", False), ("openvino", False), ("openvino", True)]
    assert told == [(head, *runtime) for head in (False, True) for runtime in runtimes]


def test_without_pictures_nothing_is_calibrated() -> None:
    assert {v.form.precision for v in variants(of(calibrated=False))} == {"fp32", "int4-storage"}


def test_half_precision_only_where_the_machine_has_it() -> None:
    assert not any(v.runtime.half for v in variants(of(half=[])))
    assert any(v.runtime.half for v in variants(of()))
    assert not any(v.runtime.half for v in variants(of()) if v.form.precision.startswith("int8"))


def test_quick_leaves_out_quantised_whole_heads() -> None:
    quick, whole = variants(of(quick=True)), variants(of())
    assert set(quick) < set(whole)
    assert all(v.form.person_only for v in quick if v.form.precision != "fp32")
    assert {v.form.precision for v in quick} == {"fp32", "int8", "int8-convolutions"}


def test_candidates_are_sources_like_the_model() -> None:
    grid = variants(of(sources=("model", "pruned")))
    assert len(grid) == 2 * len(variants(of()))
    assert any(str(v).startswith("pruned ") for v in grid)


def test_sizes_of_a_square_model() -> None:
    found = limits((640, 640), shapes=[], threads=[1], sources=["model"], calibrated=False, quick=False)
    assert list(found.shapes) == [(640, 640), (640, 480), (640, 384)]
    with pytest.raises(UsageError, match="multiples of 32"):
        limits((640, 640), shapes=[(640, 360)], threads=[1], sources=["model"], calibrated=False, quick=False)


def test_only_onnx_models(tmp_path: Any) -> None:
    engine = tmp_path / "m.engine"
    engine.write_bytes(b"x")
    with pytest.raises(UsageError, match="not an ONNX model"):
        base_size(engine)
    broken = tmp_path / "m.onnx"
    broken.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match="not an ONNX model, or is cut short"):
        base_size(broken)
