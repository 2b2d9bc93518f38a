"""Variants in the cache: made once, whole or not at all, by however many processes at once."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.core.errors import ModelError
from detector.core.types import ArrayImage, Image
from detector.inference.backends.onnx_metadata import inspect
from detector.inference.factory import load_detector
from detector.inference.spec import InputSpec
from detector.models.graph.variants import VariantPrecision, prepare
from detector.models.graph.verify import difference
from support.networks import network

UNIT = InputSpec(color="bgr", scale=1.0 / 255.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(network("dense"), str(path))
    return path


def pictures(count: int) -> list[Image]:
    random = np.random.default_rng(5)
    return [ArrayImage(random.integers(0, 256, (90, 120, 3), np.uint8)) for _ in range(count)]


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "variants").iterdir() if not path.name.startswith("."))


def test_made_once_then_taken_from_the_cache(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    made = prepare(source, shape=(128, 64), cache=cache, spec=UNIT)
    stamp = made.stat().st_mtime_ns
    assert prepare(source, shape=(128, 64), cache=cache, spec=UNIT) == made
    assert made.stat().st_mtime_ns == stamp
    assert files(cache) == [made.with_suffix(".json").name, made.name]
    facts = json.loads(made.with_suffix(".json").read_text())
    assert facts["steps"] == "size 128x64; person-only"
    assert facts["source_sha256"] == inspect(source).digest == inspect(made).metadata["detector.source_sha256"]
    detector = load_detector(path=made, name="m")
    assert (detector.input_size, detector.layout.classes) == ((128, 64), 1)


def test_each_wish_is_its_own_file(source: Path, tmp_path: Path) -> None:
    wishes = [{"shape": (128, 64)}, {"shape": (64, 128)}, {}, {"shape": (128, 64), "person_only": False}]
    assert len({prepare(source, cache=tmp_path, **wish) for wish in wishes}) == 4  # type: ignore[arg-type] # mixed kinds


def test_nothing_to_do_is_the_model_itself(source: Path, tmp_path: Path) -> None:
    assert prepare(source, person_only=False, cache=tmp_path) == source


def test_another_model_of_the_same_name_is_another_variant(source: Path, tmp_path: Path) -> None:
    first = prepare(source, spec=UNIT, cache=tmp_path)
    onnx.save(network("yolox-grid"), str(source))
    assert prepare(source, spec=UNIT, cache=tmp_path) != first


def test_a_damaged_variant_is_made_anew(source: Path, tmp_path: Path) -> None:
    made = prepare(source, cache=tmp_path)
    whole = made.read_bytes()
    made.write_bytes(whole[:-100])
    assert prepare(source, cache=tmp_path) == made
    assert made.read_bytes() == whole


def test_a_killed_maker_leaves_nothing_that_counts(source: Path, tmp_path: Path) -> None:
    made = prepare(source, cache=tmp_path)
    whole = made.read_bytes()
    # Between the facts and the model: what a power cut at the worst moment leaves.
    made.unlink()
    assert prepare(source, cache=tmp_path).read_bytes() == whole


def test_a_variant_in_the_cache_needs_no_onnx(source: Path, tmp_path: Path) -> None:
    made = prepare(source, cache=tmp_path)
    program = (
        "import sys; from pathlib import Path; from detector.models.graph.variants import VariantPrecision, prepare\n"
        f"print(prepare(Path({str(source)!r}), cache=Path({str(tmp_path)!r})))\n"
        "print('onnx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(made), "False"]


def _prepare(source: Path, cache: Path) -> Path:
    return prepare(source, shape=(64, 128), cache=cache)


def test_two_processes_make_it_once(source: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        one, other = pool.starmap(_prepare, [(source, tmp_path)] * 2, chunksize=1)
    assert one == other
    assert len(files(tmp_path)) == 2


def test_what_is_not_understood_leaves_nothing(source: Path, tmp_path: Path) -> None:
    model = network("dense")
    next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Softplus"
    onnx.save(model, str(source))
    with pytest.raises(ModelError, match="not understood"):
        prepare(source, cache=tmp_path)
    assert files(tmp_path) == []


def test_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "note.onnx"
    path.write_text("a note")
    with pytest.raises(ModelError, match="not an ONNX model"):
        prepare(path, cache=tmp_path)


def test_a_cache_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match=r"cannot write .*DETECTOR_CACHE"):
        prepare(source, cache=tmp_path / "cache")


def test_int8_is_quantised_and_kept_by_its_pictures(source: Path, tmp_path: Path) -> None:
    seen = pictures(16)
    made = prepare(source, precision="int8", pictures=seen, spec=UNIT, cache=tmp_path)
    assert inspect(made).precision == "int8"
    assert inspect(made).metadata["detector.steps"] == "person-only; int8"
    assert prepare(source, precision="int8", pictures=seen, spec=UNIT, cache=tmp_path) == made
    assert prepare(source, precision="int8", pictures=pictures(17), spec=UNIT, cache=tmp_path) != made


def test_mixed_int8_is_another_file(source: Path, tmp_path: Path) -> None:
    seen = pictures(16)
    both: tuple[VariantPrecision, ...] = ("int8", "int8-mixed")
    files = [prepare(source, precision=p, pictures=seen, spec=UNIT, cache=tmp_path) for p in both]
    counts = [sum(n.op_type == "QuantizeLinear" for n in onnx.load(str(file)).graph.node) for file in files]
    assert counts[0] > counts[1] > 0
    with pytest.raises(ValueError, match="no precision 'int4'"):
        prepare(source, precision="int4", cache=tmp_path)  # type: ignore[arg-type] # what is refused


def test_difference_tells_models_apart(source: Path, tmp_path: Path) -> None:
    other = network("dense")
    last = next(node for node in reversed(other.graph.node) if node.op_type == "Conv" and node.input[1] != "")
    weights = next(t for t in other.graph.initializer if t.name == last.input[1])
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights) * 1.01, weights.name))
    changed = tmp_path / "changed.onnx"
    onnx.save(other, str(changed))
    same, moved = (difference(source, path, pictures(2), spec=UNIT) for path in (source, changed))
    assert same.exact
    assert not moved.exact
    assert moved.px > 0.01
