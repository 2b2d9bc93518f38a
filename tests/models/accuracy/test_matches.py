"""Average precision from kept matches is pycocotools' own; the drop of two models comes with its bound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector.inference.factory import load_detector
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, Evaluation, evaluate
from detector.models.accuracy.matches import Drop, Matches, drop_of

pytestmark = pytest.mark.slow

pytest.importorskip("pycocotools", reason="needs the extra evaluate")


@pytest.fixture(scope="module")
def measured(shared: Path) -> dict[str, Evaluation]:
    images, annotations = shared / "media/coco/images", shared / "media/coco/person_instances.json"
    found = {}
    for name in ("yolox_nano", "yolox_tiny_humanart"):
        detector = load_detector(path=shared / f"models/{name}.onnx", name=name, score_floor=EVALUATION_FLOOR)
        found[name] = evaluate(detector=detector, images=images, annotations=annotations)
        detector.close()
    return found


def test_it_is_pycocotools_s_figure(measured: dict[str, Evaluation]) -> None:
    for found in measured.values():
        assert found.matches.ap() == pytest.approx(found.ap, abs=1e-9)
        assert (int(found.matches.persons.sum()), found.matches.peopled) == (187, 40)


def test_a_picture_that_counts_twice_is_one_that_is_there_twice(
    measured: dict[str, Evaluation], shared: Path, tmp_path: Path
) -> None:
    """Pictures left out and doubled, once by weights and once by another annotation file."""
    document = json.loads((shared / "media/coco/person_instances.json").read_text())
    ids = sorted(entry["id"] for entry in document["images"])
    times = np.array([number % 3 for number in range(len(ids))], np.int64)
    entries = {entry["id"]: entry for entry in document["images"]}
    images, persons = [], []
    for number, (identity, count) in enumerate(zip(ids, times.tolist(), strict=True)):
        for copy in range(count):
            images.append({**entries[identity], "id": 10 * number + copy + 1})
            some = [one for one in document["annotations"] if one["image_id"] == identity]
            persons += [{**one, "image_id": 10 * number + copy + 1} for one in some]
    annotations = tmp_path / "twice.json"
    annotations.write_text(json.dumps({**document, "images": images, "annotations": persons}))
    name = "yolox_nano"
    detector = load_detector(path=shared / f"models/{name}.onnx", name=name, score_floor=EVALUATION_FLOOR)
    again = evaluate(detector=detector, images=shared / "media/coco/images", annotations=annotations)
    detector.close()
    # pycocotools ranks equal scores one by one, here they come together: a hair apart.
    assert measured[name].matches.ap(times) == pytest.approx(again.ap, abs=1e-3)


def test_it_can_be_kept(measured: dict[str, Evaluation]) -> None:
    kept = measured["yolox_nano"].matches
    found = Matches.from_json(json.loads(json.dumps(kept.to_json())))
    assert found.ap() == kept.ap()
    assert np.array_equal(found.hits, kept.hits)
    with pytest.raises(KeyError):
        Matches.from_json({"picture": []})


def test_the_drop_of_two_models(measured: dict[str, Evaluation]) -> None:
    tiny, nano = (measured[name].matches for name in ("yolox_tiny_humanart", "yolox_nano"))
    drop = drop_of(tiny, nano)
    assert drop.points == pytest.approx(100 * (measured["yolox_tiny_humanart"].ap - measured["yolox_nano"].ap))
    assert drop.points + 0.5 < drop.bound < drop.points + 6
    assert not drop.proven(drop.points + 0.1)
    assert drop.proven(drop.bound)
    assert drop_of(nano, nano).bound == 0.0
    with pytest.raises(ValueError, match="different pictures"):
        drop_of(tiny, Matches.from_json({**nano.to_json(), "persons": [1]}))


def test_what_is_not_shown_is_said_so() -> None:
    drop = Drop(points=0.4, bound=1.9, persons=36, pictures=20)
    assert drop.why(0.5) == "not proven with 36 persons: -0.40, at most -1.90 points of AP (0.5 are allowed)"
    assert drop.why(2.0) == "person AP changes by -0.40, at most -1.90 points with 36 persons"
    assert drop.why(0.1) == "person AP changes by -0.40, at most -1.90 points with 36 persons (0.1 are allowed)"
