"""Average precision: against a plain script on real models, by hand on small ones, and on bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.core.errors import DetectorError
from detector.inference.detector import PersonDetector
from detector.inference.factory import load_detector
from detector.models.accuracy.average_precision import EVALUATION_FLOOR, Evaluation, evaluate
from support.graphs import write_constant
from support.plain_eval import plain_average_precision

pytest.importorskip("pycocotools", reason="needs the extra evaluate")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "family", "at_least", "pictures"),
    [
        ("yolox_tiny_humanart", "yolox-nms", 0.68, 64),
        ("yolov10n", "v10", 0.74, 64),
        ("yolox_nano", "yolox", 0.5, 24),
        ("yolov8n", "v8", 0.5, 12),  # the plain script's NMS takes its time
        ("yolo11n", "v8", 0.5, 12),
    ],
)
def test_equals_a_plain_script(
    shared: Path, tmp_path: Path, model: str, family: str, at_least: float, pictures: int
) -> None:
    images, annotations = shared / "media" / "coco" / "images", tmp_path / "part.json"
    document = json.loads((shared / "media" / "coco" / "person_instances.json").read_text())
    document["images"] = document["images"][:pictures]
    kept = {entry["id"] for entry in document["images"]}
    document["annotations"] = [entry for entry in document["annotations"] if entry["image_id"] in kept]
    annotations.write_text(json.dumps(document))
    path = shared / "models" / f"{model}.onnx"
    detector = load_detector(path=path, name=model, score_floor=EVALUATION_FLOOR)
    found = evaluate(detector=detector, images=images, annotations=annotations)
    ap, ap50 = plain_average_precision(path, family, images, annotations)
    assert found.images == pictures
    assert found.ap50 >= at_least
    assert found.ap50 == pytest.approx(ap50, abs=0.002)
    assert found.ap == pytest.approx(ap, abs=0.002)
    assert found.infer_ms_median > 0


def rows(*persons: tuple[float, ...]) -> np.ndarray:
    found = np.zeros((1, 300, 6), np.float32)
    for index, person in enumerate(persons):
        found[0, index, : len(person)] = person
    return found


class AnnotatedFolder:
    """A folder with two pictures and their annotations, to be spoiled; the model always sees one box."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.annotations = folder / "images", folder / "persons.json"
        self.folder.mkdir()
        for name in ("a.png", "b.png"):
            cv2.imwrite(str(self.folder / name), np.full((64, 64, 3), 60, np.uint8))
        self.document: dict[str, Any] = {
            "images": [
                {"id": 7, "file_name": "a.png", "width": 64, "height": 64},
                {"id": 9, "file_name": "b.png", "width": 64, "height": 64},
            ],
            "annotations": [
                {"id": 0, "image_id": 7, "category_id": 3, "bbox": [10, 10, 20, 40], "area": 800, "iscrowd": 0},
                {"id": 1, "image_id": 9, "category_id": 3, "bbox": [10, 10, 20, 40], "area": 800, "iscrowd": 0},
                {"id": 2, "image_id": 9, "category_id": 1, "bbox": [40, 40, 20, 20], "area": 400, "iscrowd": 0},
            ],
            "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "person"}],
        }
        self.model = write_constant(folder / "m.onnx", {"output0": rows((10, 10, 30, 50, 0.9))})

    def run(self, **options: Any) -> Evaluation:
        self.annotations.write_text(json.dumps(self.document))
        return evaluate(detector=self.detector(), images=self.folder, annotations=self.annotations, **options)

    def detector(self, floor: float = EVALUATION_FLOOR) -> PersonDetector:
        return load_detector(path=self.model, name="m", score_floor=floor)

    def refusal(self) -> str:
        with pytest.raises(DetectorError) as caught:
            self.run()
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def scene(tmp_path: Path) -> AnnotatedFolder:
    return AnnotatedFolder(tmp_path)


def test_all_found_is_one_even_with_id_zero(scene: AnnotatedFolder) -> None:
    found = scene.run()
    assert (found.ap, found.ap50, found.ap_small) == pytest.approx((1.0, 1.0, 1.0))
    assert (found.ap_medium, found.ap_large, found.images) == (None, None, 2)


@pytest.mark.parametrize(("wrong", "precision"), [(0, 0.5), (1, 1.0)], ids=["wrong one first", "right one first"])
def test_half_found_holds_its_precision_over_half_the_recall(
    scene: AnnotatedFolder, wrong: int, precision: float
) -> None:
    scene.document["annotations"][wrong]["bbox"] = [40, 10, 20, 40]
    # Of COCO's 101 recall points, 0 to .50 are reached; equal scores rank in the pictures' order.
    assert scene.run().ap50 == pytest.approx(precision * 51 / 101)


def test_nothing_found_is_zero(scene: AnnotatedFolder) -> None:
    write_constant(scene.model, {"output0": rows()})
    found = scene.run()
    assert (found.ap, found.ap50) == (0.0, 0.0)


def test_crowds_are_neither_hit_nor_miss(scene: AnnotatedFolder) -> None:
    scene.document["annotations"][1] |= {"iscrowd": 1}
    assert scene.run().ap50 == pytest.approx(1.0)


def test_person_by_number_where_categories_have_no_names(scene: AnnotatedFolder) -> None:
    scene.document["categories"] = [{"id": 1}]
    scene.document["annotations"][2] |= {"bbox": [10, 10, 20, 40], "area": 800}
    scene.document["annotations"] = [scene.document["annotations"][2]]
    scene.document["images"] = [scene.document["images"][1]]
    assert scene.run().ap50 == pytest.approx(1.0)


def test_area_and_crowd_may_be_left_out(scene: AnnotatedFolder) -> None:
    for entry in scene.document["annotations"]:
        del entry["area"], entry["iscrowd"]
    assert scene.run().ap50 == pytest.approx(1.0)


def test_progress_is_told_and_nothing_is_printed(scene: AnnotatedFolder, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int]] = []
    scene.run(progress=lambda done, total, _what: told.append((done, total or 0)))
    assert told == [(1, 2), (2, 2)]
    assert capsys.readouterr() == ("", "")


def test_high_floor_is_refused(scene: AnnotatedFolder) -> None:
    scene.annotations.write_text(json.dumps(scene.document))
    with pytest.raises(DetectorError, match="score floor of at most"):
        evaluate(detector=scene.detector(0.1), images=scene.folder, annotations=scene.annotations)


def test_orientation_tag_does_not_turn_the_picture(scene: AnnotatedFolder) -> None:
    # A JPEG whose Exif says "turned by 90 degrees": annotations speak of the stored pixels.
    _, encoded = cv2.imencode(".jpg", np.full((64, 32, 3), 60, np.uint8))
    tag = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = bytes(encoded)
    (scene.folder / "a.png").write_bytes(data[:2] + b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag + data[2:])
    assert cv2.imread(str(scene.folder / "a.png")).shape[:2] == (32, 64)  # type: ignore[union-attr] # it is readable
    scene.document["images"][0] |= {"width": 32}
    assert scene.run().images == 2


def entry(section: str, index: int, **changes: object) -> Callable[[AnnotatedFolder], object]:
    return lambda scene: scene.document[section][index].update(changes)


def section(**changes: object) -> Callable[[AnnotatedFolder], object]:
    return lambda scene: scene.document.update(changes)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (section(images=[]), "names no pictures"),
        (lambda scene: scene.document.pop("annotations"), "'annotations' is missing"),
        (lambda scene: setattr(scene, "document", []), "an object with images"),
        (entry("annotations", 0, image_id=55), "for the picture 55"),
        (entry("images", 1, id=7), "same id"),
        (section(categories=[{"id": 1, "name": "cat"}]), "no category person"),
        (section(annotations=[]), "no person is annotated"),
        (entry("annotations", 0, bbox=[1, 2, -3, 4]), "is not x, y, width, height"),
        (entry("annotations", 0, bbox=["a", "b", "c", "d"]), "not in COCO's format"),
        (entry("images", 0, file_name=None), "no file name"),
        (section(annotations=None), "not in COCO's format"),
        (entry("images", 0, width=999), "64 x 64 px, but the annotations say 999 x 64"),
        (lambda scene: (scene.folder / "b.png").unlink(), "1 of 2 annotated pictures are not in"),
        (lambda scene: (scene.folder / "b.png").write_text("no picture"), "not a picture that can be read"),
        (lambda scene: (scene.folder / "b.png").write_bytes(b""), "not a picture that can be read"),
        (lambda scene: setattr(scene, "folder", scene.folder / "elsewhere"), "no folder"),
    ],
)
def test_bad_input_is_one_clear_line(
    scene: AnnotatedFolder, spoil: Callable[[AnnotatedFolder], object], told: str
) -> None:
    spoil(scene)
    assert told in scene.refusal()


@pytest.mark.parametrize("content", [b"not json", b"\xff\xfe\x00", b"", b"[" * 100_000])
def test_annotations_that_are_no_json(scene: AnnotatedFolder, content: bytes) -> None:
    scene.annotations.write_bytes(content)
    with pytest.raises(DetectorError, match="is not JSON"):
        evaluate(detector=scene.detector(), images=scene.folder, annotations=scene.annotations)


def test_annotations_that_are_not_there(scene: AnnotatedFolder) -> None:
    with pytest.raises(DetectorError, match="cannot read the annotations"):
        evaluate(detector=scene.detector(), images=scene.folder, annotations=scene.annotations)


def test_missing_package_names_the_extra(scene: AnnotatedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    assert "pip install 'detector[evaluate]'" in scene.refusal()
