"""Tuning ahead of the service: what is kept is what its next start takes; what was left out is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.config.schema import Config
from detector.core.errors import ConfigError, StorageError
from detector.inference.agreement import Limits
from detector.models.autotune import tune as tuning
from detector.models.autotune.candidates import Candidate
from detector.models.autotune.choice import place, read, scenes_of
from detector.models.autotune.loader import AutotunedLoader
from detector.models.autotune.offline import OfflineRequest, OfflineResult, tune_offline
from detector.models.autotune.samples import SampleQuota
from detector.models.registry import Resolved

ANYTHING = Limits(min_persons=0, missed_share=9, extra_share=9, iou_mean=-1, score_delta_mean=9)
NEED = SampleQuota(pictures=30, pictures_each=30)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a plain install, and everything that was made from pictures is accepted."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(tuning, "GATE_CALIBRATED", ANYTHING)
    monkeypatch.setattr(tuning, "price", lambda _cost, *, exact: 1.0 if exact else 0.5)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Noise, in which the small network sees persons everywhere."""
    folder, random = tmp_path / "pictures", np.random.default_rng(1)
    folder.mkdir()
    for number in range(NEED.pictures):
        cv2.imwrite(str(folder / f"{number:03}.png"), random.integers(0, 256, (120, 160, 3), np.uint8))
    return folder


def config(resolved: Resolved, *cameras: str, **model: Any) -> Config:
    document = {name: {"source": f"{name}.mp4"} for name in cameras or ("porch",)}
    return Config.model_validate({"model": {"name": str(resolved.path), "threads": 1, **model}, "cameras": document})


def done(resolved: Resolved, settings: Config, **given: Path) -> OfflineResult:
    return tune_offline(
        OfflineRequest(
            config=settings,
            resolved=resolved,
            given={name: [path] for name, path in given.items()},
            size=(1920, 1080),
            need=NEED,
        )
    )


def test_the_next_start_takes_what_was_kept(resolved: Resolved, pictures: Path) -> None:
    settings = config(resolved)
    found = done(resolved, settings, porch=pictures)
    assert found.choice.taken.calibrated
    assert found.without_int8 is None
    assert found.choice.scenes == tuple(scenes_of(settings))
    assert found.choice.shapes == ((160, 128),)
    assert (found.sizes, found.footage["porch"].looked) == ({"porch": (160, 120)}, NEED.pictures)
    load = AutotunedLoader(settings.model, resolved, scenes=tuple(scenes_of(settings)))
    assert load.choice == found.choice == read(found.kept)
    detector = load()
    assert (detector.precision, detector.input_size) == ("int8", (160, 128))
    detector.close()
    moved = Config.model_validate(
        {"model": settings.model.model_dump(), "cameras": {"porch": {"source": "elsewhere.mp4"}}}
    )
    elsewhere = AutotunedLoader(settings.model, resolved, scenes=tuple(scenes_of(moved))).choice
    assert elsewhere is not None
    assert elsewhere.taken == found.choice.spare == Candidate(threads=1), "those pictures are not of that camera"


def test_without_pictures_all_but_int8_is_measured(resolved: Resolved) -> None:
    found = done(resolved, config(resolved))
    assert found.choice.taken.exact
    assert found.choice.scenes == ()
    assert found.choice.shapes == ((160, 96),)
    assert "none were given" in str(found.without_int8)
    assert not found.lost


def test_too_little_is_no_evidence(resolved: Resolved, pictures: Path) -> None:
    for path in sorted(pictures.iterdir())[::2]:
        path.unlink()
    found = done(resolved, config(resolved), porch=pictures)
    assert [result.form.calibrated for result in found.choice.results] == [False]
    assert found.without_int8 == "it needs pictures with persons of porch (30 over 3 visits)"
    assert found.choice.shapes == ((160, 128),), "what was shown says at least which size"


def test_a_camera_without_pictures_keeps_int8_out(resolved: Resolved, pictures: Path) -> None:
    found = done(resolved, config(resolved, "porch", "yard"), porch=pictures)
    assert "of yard" in str(found.without_int8)
    assert set(found.choice.shapes) == {(160, 128), (160, 96)}


def test_o9_a_picture_that_was_given_twice_counts_once(resolved: Resolved, pictures: Path, tmp_path: Path) -> None:
    """For tune: two cameras with one folder, its pictures under other names and saved again."""
    copies = tmp_path / "copies"
    copies.mkdir()
    for number, path in enumerate(sorted(pictures.iterdir(), reverse=True)):
        cv2.imwrite(str(copies / f"{number}.jpg"), np.asarray(cv2.imread(str(path))), [cv2.IMWRITE_JPEG_QUALITY, 95])
    found = done(resolved, config(resolved, "porch", "yard"), porch=pictures, yard=copies)
    assert [result.form.calibrated for result in found.choice.results] == [False]
    assert "pictures with persons of yard (30 over 3 visits); 30 pictures were given twice and count once" in str(
        found.without_int8
    )


def test_fp32_alone_is_configured(resolved: Resolved, pictures: Path) -> None:
    found = done(resolved, config(resolved, precision="fp32"), porch=pictures)
    assert found.without_int8 == "model.precision is fp32"


def test_an_earlier_choice_by_pictures_that_gives_way_is_told(resolved: Resolved, pictures: Path) -> None:
    settings = config(resolved)
    assert not done(resolved, settings, porch=pictures).lost
    assert done(resolved, settings).lost


@pytest.mark.parametrize(
    ("model", "key"), [({"backend": "onnxruntime"}, "model.backend"), ({"precision": "int8"}, "model.precision")]
)
def test_where_nothing_is_chosen_it_says_so(model: dict[str, str], key: str, resolved: Resolved) -> None:
    with pytest.raises(ConfigError, match="there is nothing to choose") as caught:
        done(resolved, config(resolved, **model))
    assert caught.value.key == key


def test_no_camera_no_size(resolved: Resolved) -> None:
    dark = Config.model_validate({"cameras": {"porch": {"source": "a.mp4", "enabled": False}}})
    with pytest.raises(ConfigError, match="no camera is enabled"):
        done(resolved, dark)


def test_a_cache_that_cannot_be_written_is_said(resolved: Resolved, cache: Path) -> None:
    cache.mkdir()
    (cache / "choices").write_text("in the way")
    settings = config(resolved)
    with pytest.raises(StorageError, match="cannot keep the choice in"):
        done(resolved, settings)
    assert not place(settings.model, resolved).exists()
