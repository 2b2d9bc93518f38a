"""What the service loads at a start, and what it falls back to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.config.model_settings import Model
from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Image
from detector.inference.multi_size import MultiSizeDetector
from detector.models.autotune.candidates import Candidate
from detector.models.autotune.choice import Choice, place, read, write
from detector.models.autotune.loader import AutotunedLoader
from detector.models.graph.variants import prepare
from detector.models.registry import Resolved

SHAPE = (160, 128)
FRAME = ArrayImage(np.full((48, 64, 3), 90, np.uint8))
MODEL = Model(threads=1)


@pytest.fixture
def int8(resolved: Resolved, noise: list[Image]) -> Choice:
    """Kept where a start looks."""
    made = prepare(resolved.path, shape=SHAPE, precision="int8", pictures=noise[:16])
    choice = Choice(
        taken=Candidate(precision="int8", threads=1),
        why="-",
        shapes=(SHAPE,),
        scenes=("porch",),
        files={SHAPE: made.name},
        spare=Candidate(threads=1),
    )
    write(place(MODEL, resolved), choice)
    return choice


def served(loader: AutotunedLoader) -> tuple[str, tuple[int, int]]:
    """Precision and input size with which a 4:3 frame is looked at."""
    detector = loader()
    detector.detect_image(FRAME)
    detector.close()
    return detector.precision, detector.input_size


def test_a_first_start_makes_nothing(resolved: Resolved, cache: Path) -> None:
    assert served(AutotunedLoader(MODEL, resolved)) == ("fp32", (160, 160))
    assert not cache.exists()


def test_a_variant_in_the_cache_is_used(resolved: Resolved) -> None:
    prepare(resolved.path, shape=SHAPE)
    for backend in ("auto", "onnxruntime"):
        assert served(AutotunedLoader(Model(backend=backend), resolved)) == ("fp32", SHAPE)


def test_a_choice_is_there_at_once(resolved: Resolved, int8: Choice) -> None:
    loader = AutotunedLoader(MODEL, resolved, scenes=("porch",))
    assert loader.choice == int8
    detector = loader()
    assert isinstance(detector, MultiSizeDetector)
    assert detector.shapes == (SHAPE,), "loaded before the first frame, and nothing else"
    detector.close()


def test_int8_does_not_look_at_a_camera_it_does_not_know(resolved: Resolved, int8: Choice) -> None:
    loader = AutotunedLoader(MODEL, resolved, scenes=("porch", "garage"))
    assert loader.choice is not None
    assert (loader.choice.taken, loader.choice.scenes, loader.choice.files) == (int8.spare, (), {})
    assert "was calibrated on those of other cameras" in loader.choice.why
    assert served(loader)[0] == "fp32"
    assert read(place(MODEL, resolved)) == int8, "those whom it knows get it back"


@pytest.mark.usefixtures("int8")
def test_what_the_user_set_wins(resolved: Resolved) -> None:
    for other in (Model(backend="onnxruntime", threads=1), Model(precision="fp32", threads=1), Model(threads=2)):
        assert served(AutotunedLoader(other, resolved, scenes=("porch",)))[0] == "fp32"


def test_a_variant_that_was_deleted_undoes_the_choice(resolved: Resolved, int8: Choice, cache: Path) -> None:
    (cache / "variants" / int8.files[SHAPE]).unlink()
    loader = AutotunedLoader(MODEL, resolved, scenes=("porch",))
    assert loader.choice is None
    assert served(loader)[0] == "fp32"


def test_a_form_that_fails_when_it_serves_gives_way_for_good(resolved: Resolved, int8: Choice) -> None:
    heard: list[Choice] = []
    loader = AutotunedLoader(MODEL, resolved, scenes=("porch",), on_change=heard.append)
    assert served(loader)[0] == "int8"
    assert served(loader)[0] == "fp32", "the worker loads anew after failures"
    assert served(loader)[0] == "fp32"
    (told,) = heard
    assert told.failed == {str(int8.taken): "it failed in operation"}
    assert read(place(MODEL, resolved)) == told
    assert served(AutotunedLoader(MODEL, resolved, scenes=("porch",)))[0] == "fp32", "and stays so"


def test_a_form_that_cannot_even_be_opened_gives_way(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Candidate(backend="openvino", threads=1)
    write(place(MODEL, resolved), Choice(taken=taken, why="-", shapes=(SHAPE,)))

    def gone() -> None:
        raise ModelError("the backend openvino is not installed")

    monkeypatch.setattr("detector.inference.backends.openvino._import", gone)
    loader = AutotunedLoader(MODEL, resolved)
    assert served(loader)[0] == "fp32"
    assert loader.choice is not None
    assert loader.choice.failed == {str(taken): "the backend openvino is not installed"}
