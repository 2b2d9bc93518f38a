"""The first place is measured again by real processes: what differs separates, what is the same stays a tie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from detector.optimize.study.noise import ratio
from detector.optimize.study.settle import compared, settle
from detector.optimize.study.subject import StudySubject
from support.networks import network
from support.studies import SIDE, pictures, small_model

# Each run has a few processes of a second each.


def subject(path: Path) -> StudySubject:
    return StudySubject(label=path.stem, path=str(path), engine="onnxruntime", threads=1, shape=(SIDE, SIDE))


@pytest.fixture
def shown(tmp_path: Path) -> list[Path]:
    return sorted(pictures(tmp_path / "pictures", 2).iterdir())


def heavier(folder: Path) -> Path:
    """The small network with its first convolution computed 600 times over."""
    model = network("end-to-end")
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    made, last = [], first.output[0]
    for number in range(600):
        again = onnx.NodeProto()
        again.CopyFrom(first)
        again.name, again.output[0] = f"again{number}", f"again{number}"
        made += [again, onnx.helper.make_node("Max", [last, f"again{number}"], [f"most{number}"])]
        last = f"most{number}"
    place = list(model.graph.node).index(first) + 1
    for node in list(model.graph.node)[place:]:
        for index, name in enumerate(node.input):
            if name == first.output[0]:
                node.input[index] = last
    rest = list(model.graph.node)[place:]
    del model.graph.node[place:]
    model.graph.node.extend([*made, *rest])
    path = folder / "heavy.onnx"
    onnx.save(model, str(path))
    return path


@pytest.mark.slow
def test_what_differs_separates_before_time_is_up(tmp_path: Path, shown: list[Path]) -> None:
    leaders = {"light": subject(small_model(tmp_path)), "heavy": subject(heavier(tmp_path))}
    found = settle(leaders, shown, limit_s=100.0)
    assert found is not None
    assert (found.fastest, found.tied) == ("light", ())
    assert found.ratios["heavy"].low > 1.0
    assert found.seconds < 90


@pytest.mark.slow
def test_the_same_thing_twice_is_a_tie_when_time_is_up(tmp_path: Path, shown: list[Path]) -> None:
    one = subject(small_model(tmp_path))
    (tmp_path / "other.onnx").write_bytes((tmp_path / "small.onnx").read_bytes())
    found = settle({"one": one, "other": subject(tmp_path / "other.onnx")}, shown, limit_s=15.0)
    assert found is not None
    assert sorted(found.tied) == ["one", "other"]
    assert found.seconds < 60


def test_one_alone_has_nothing_to_settle(tmp_path: Path, shown: list[Path]) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    leaders = {"one": subject(small_model(tmp_path)), "broken": subject(tmp_path / "broken.onnx")}
    assert settle(leaders, shown, limit_s=3.0) is None


def test_ratios_are_paired_by_round() -> None:
    """Rounds differ by a factor of three, the two within them by 3 %."""
    random = np.random.default_rng(1)
    pace = random.uniform(1, 3, 30)
    fast = (10 * pace * random.normal(1, 0.01, 30)).tolist()
    slow = (10.3 * pace * random.normal(1, 0.01, 30)).tolist()
    fastest, found = compared({"fast": fast, "slow": slow}, ["fast", "slow"])
    assert fastest == "fast"
    assert found["slow"].low > 1.01
    assert found["slow"].median == pytest.approx(1.03, abs=0.01)
    assert ratio(fast, fast).half_width == 0.0
    with pytest.raises(ValueError, match="cannot be paired"):
        ratio(fast, slow[1:])
