"""A stopped run goes on as if it had not stopped; the same seed gives the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.core.errors import ModelError, StorageError
from detector.core.progress import quiet
from detector.core.types import ArrayImage
from detector.models.graph.variants import prepare
from detector.models.registry import load_registry
from detector.optimize.specialise.teachers import PictureLabels

pytestmark = pytest.mark.optimize
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def make(shared: Path, torch: Any) -> Make:
    """A run over 8 pictures with one person each."""
    from detector.models.graph.onnx_file import read
    from detector.optimize.specialise.graph_network import GraphNetwork
    from detector.optimize.specialise.lesson_batches import LessonBatches
    from detector.optimize.specialise.training import StudentTraining, TrainingPlan

    student = load_registry().resolve("yolox-nano")
    assert student.spec is not None
    graph = read(prepare(student.path, shape=(96, 64)))
    random = np.random.default_rng(5)
    pictures = [ArrayImage(random.integers(0, 256, (128, 192, 3), np.uint8)) for _ in range(8)]
    boxes = np.array([[60, 20, 100, 110]], np.float32)
    labels = [PictureLabels(persons=boxes, unsure=boxes[:0])] * 8
    lessons = LessonBatches(pictures=pictures, labels=labels, size=(96, 64), spec=student.spec)

    def made(checkpoint: Path, *, steps: int = 6, seed: int = 0, rate: float = 1e-4, key: str = "run") -> Any:
        plan = TrainingPlan(steps=steps, batch=2, rate=rate, seed=seed)
        return StudentTraining(GraphNetwork(graph), lessons, plan=plan, checkpoint=checkpoint, key=key)

    return made


def weights(network: Any) -> list[Any]:
    return [each.detach().numpy().copy() for each in network.parameters()]


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_a_stopped_run_goes_on(make: Make, tmp_path: Path) -> None:
    whole = make(tmp_path / "whole").run(quiet)

    def stop(done: int, _total: int | None, _what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "part").run(stop)
    resumed = make(tmp_path / "part")
    assert same(resumed.run(quiet), whole)
    assert len(resumed.losses) == 6


def test_another_seed_gives_other_weights(make: Make, tmp_path: Path) -> None:
    one, again, other = (make(tmp_path / name, seed=seed, steps=2).run(quiet) for name, seed in zip("abc", (0, 0, 1), strict=True))  # fmt: skip
    assert same(one, again)
    assert not same(one, other)


def test_it_learns(make: Make, tmp_path: Path) -> None:
    run = make(tmp_path / "run", steps=40, rate=5e-4)
    run.run(quiet)
    assert np.mean(run.losses[-8:]) < 0.7 * np.mean(run.losses[:8])


def test_a_foreign_or_damaged_checkpoint_is_refused(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "run", steps=1).run(quiet)
    with pytest.raises(ModelError, match="is of another run: remove it to begin anew"):
        make(tmp_path / "run", steps=1, key="other").run(quiet)
    (tmp_path / "run").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be read"):
        make(tmp_path / "run").run(quiet)


def test_a_full_disk_is_told_before_the_first_step(make: Make) -> None:
    run = make(Path("/dev/full/run"))
    with pytest.raises(StorageError, match="cannot write the checkpoint"):
        run.run(quiet)
    assert run.step == 0
