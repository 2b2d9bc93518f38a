"""Measuring and judging, on a small network and, where they are there, on real models and real pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.capture.factory import file_source
from detector.config.model_settings import Model
from detector.core.errors import SourceError
from detector.core.types import ArrayImage, Image
from detector.inference.agreement import Limits
from detector.models.autotune import tune as tuning
from detector.models.autotune.candidates import Candidate
from detector.models.autotune.choice import Choice
from detector.models.autotune.cost import MARGIN, Cost, price
from detector.models.autotune.loader import open_form
from detector.models.autotune.samples import CalibrationSet, small, split
from detector.models.autotune.tune import TuneRequest, tune
from detector.models.registry import Resolved, load_registry
from support.extras import needs_openvino

SHAPE = (160, 128)
ANYTHING = Limits(min_persons=0, missed_share=9, extra_share=9, iou_mean=-1, score_delta_mean=9)


def task(resolved: Resolved, model: Model, evidence: CalibrationSet | None = None, **more: object) -> TuneRequest:
    return TuneRequest(
        model=model,
        resolved=resolved,
        shapes=(SHAPE,),
        evidence=evidence,
        openvino=False,
        **more,  # type: ignore[arg-type]
    )


def best(choice: Choice) -> Candidate:
    """The cheapest of those that were not refused."""
    found = {r.form: Cost(ms=r.ms or 0, cpu_ms=r.cpu_ms or 0) for r in choice.results if r.refused is None}
    return min(found, key=lambda form: price(found[form], exact=form.exact))


def test_without_pictures_only_the_exact_forms_run(resolved: Resolved, cache: Path) -> None:
    choice = tune(task(resolved, Model()))
    assert choice.taken.exact
    assert choice.taken == best(choice)
    assert choice.shapes == (SHAPE,)
    assert all(result.ms and result.cpu_ms and result.refused is None for result in choice.results)
    assert len(list((cache / "variants").glob("*.onnx"))) == 1, "the exact one of that size"


def test_int8_that_sees_something_else_is_refused(
    resolved: Resolved, noise: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "GATE_CALIBRATED", Limits(iou_mean=1.1))
    monkeypatch.setattr(tuning, "price", lambda _cost, *, exact: 1.0 if exact else 0.5)
    choice = tune(task(resolved, Model(threads=1), split(noise, ("porch",))))
    refused = {result.form.precision: result.refused for result in choice.results}
    assert choice.taken == Candidate(threads=1)
    assert refused["fp32"] is None
    assert "its boxes differ" in str(refused["int8"])
    assert "its boxes differ" in str(refused["int8-mixed"])
    assert choice.files == {}


def test_int8_that_is_accepted_is_there_to_be_served(
    resolved: Resolved, noise: list[Image], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "GATE_CALIBRATED", ANYTHING)
    monkeypatch.setattr(tuning, "price", lambda _cost, *, exact: 1.0 if exact else 0.5)
    choice = tune(task(resolved, Model(threads=1), split(noise, ("porch",))))
    assert choice.taken.calibrated
    assert choice.scenes == ("porch",)
    assert choice.spare == Candidate(threads=1), "for cameras that it does not know"
    assert "12 of the cameras' own pictures" in choice.why
    assert (cache / "variants" / choice.files[SHAPE]).is_file()
    detector = open_form(resolved, choice.taken, files=choice.files)
    detector.detect_image(noise[0])
    assert (detector.precision, detector.input_size) == ("int8", SHAPE)
    detector.close()


def test_few_pictures_and_fp32_keep_int8_out(resolved: Resolved, noise: list[Image]) -> None:
    few = tune(task(resolved, Model(threads=1), split(noise[:20])))
    assert [result.form.precision for result in few.results] == ["fp32"]
    forbidden = tune(task(resolved, Model(threads=1, precision="fp32"), split(noise)))
    assert [result.form.precision for result in forbidden.results] == ["fp32"]


def test_what_failed_when_it_served_is_not_tried_again(resolved: Resolved) -> None:
    choice = tune(task(resolved, Model(), failed={str(Candidate(threads=1)): "it broke"}))
    assert Candidate(threads=1) not in [result.form for result in choice.results]
    assert choice.failed == {str(Candidate(threads=1)): "it broke"}


@needs_openvino
def test_nothing_to_judge_by_refuses_all_but_the_reference(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "price", lambda _cost, *, exact: 1.0 if exact else 0.5)

    def unreachable() -> list[Image]:
        raise SourceError("the clip cannot be fetched")

    choice = tune(
        TuneRequest(
            model=Model(threads=1, precision="fp32"),
            resolved=resolved,
            shapes=(SHAPE,),
            built_in=unreachable,
            openvino=True,
        )
    )
    assert choice.taken == Candidate(threads=1)
    (refused,) = [result.refused for result in choice.results if result.form.backend == "openvino"]
    assert refused == "there are no pictures to judge it by: the clip cannot be fetched"


@pytest.mark.optimize
def test_a_model_that_int8_ruins_stays_in_floats(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """YOLOX-nano loses two thirds of its AP in INT8 (engines/README.md)."""
    source = file_source(shared / "media" / "video" / "vtest.avi")
    source.open()
    frames = [source.read().image for _ in range(54)][::2]
    pictures: list[Image] = [small(ArrayImage(frame.bgr()), (416, 416)) for frame in frames]
    source.close()
    forms = [Candidate(threads=1), Candidate(precision="int8", threads=1)]  # one is enough: calibrating takes seconds
    monkeypatch.setattr(tuning, "candidates", lambda *_args, **_kwargs: forms)
    choice = tune(
        TuneRequest(
            model=Model(threads=1),
            resolved=load_registry().resolve(shared / "models" / "yolox_nano.onnx"),
            shapes=((416, 320),),
            evidence=split(pictures, ("street",)),
            openvino=False,
        )
    )
    assert choice.taken == best(choice)
    assert choice.taken == Candidate(threads=1)
    for result in choice.results:
        cheaper = result.form.calibrated and (result.ms or 0) * (result.cpu_ms or 0) * MARGIN < _product(choice)
        assert bool(result.refused) == cheaper, "what would have paid was judged, and refused"


def _product(choice: Choice) -> float:
    return next((r.ms or 0) * (r.cpu_ms or 0) for r in choice.results if r.form == choice.taken)


def test_of_a_configured_backend_the_best_number_of_threads_is_taken(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    choice = tune(task(resolved, Model(backend="onnxruntime"), built_in=_not_asked))
    assert [str(each.form) for each in choice.results] == ["onnxruntime fp32, 1 thread", "onnxruntime fp32, 2 threads"]
    assert choice.taken == best(choice)
    assert "configured" in choice.why


def _not_asked() -> list[Image]:
    pytest.fail("what the user configured is not judged")
