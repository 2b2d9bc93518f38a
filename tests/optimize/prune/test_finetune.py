"""Fine-tuning of a real pruned network: it learns, and a killed run goes on as if nothing had been."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector.core.errors import ModelError, StorageError

pytestmark = pytest.mark.optimize
SIZE = (96, 96)


@pytest.fixture(scope="module")
def pair(checkpoint: Path) -> tuple[Any, Any]:
    """A pruned network and its teacher."""
    from detector.optimize.export import ultralytics_models
    from detector.optimize.prune.prune import prune

    done = prune(ultralytics_models.load(checkpoint), macs=0.8, size=SIZE)
    return done.model, done.original


@pytest.fixture(scope="module")
def learn(pair: tuple[Any, Any], shared: Path) -> Callable[..., Any]:
    """Tunes the pair for `steps` on a few real pictures."""
    from detector.optimize.prune.dataset import Dataset
    from detector.optimize.prune.finetune import Schedule, finetune

    data = Dataset(folder=shared / "media" / "coco" / "images", size=SIZE)

    def run(checkpoint: Path, *, steps: int = 6, every: int = 2, **options: Any) -> Any:
        rate = options.pop("rate", 2e-3)
        schedule = Schedule(steps=steps, batch=2, rate=rate, every=every, seed=5)
        return finetune(*pair, data, schedule=schedule, checkpoint=checkpoint, **options)

    return run


def state(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = model.state_dict()
    return found


def stopper(at: int) -> Callable[..., None]:
    def report(done: int, _total: int | None, _what: str) -> None:
        if done == at:
            raise KeyboardInterrupt

    return report


def test_it_learns(learn: Callable[..., Any], tmp_path: Path) -> None:
    done = learn(tmp_path / "c", steps=20, every=100)
    assert sum(done.last.values()) < 0.8 * sum(done.first.values())
    assert done.resumed_at == 0
    assert not list(tmp_path.iterdir()), "a finished run leaves no checkpoint"


@pytest.mark.parametrize("stopped_at", [3, 4])
def test_a_stopped_run_goes_on_bit_for_bit(
    stopped_at: int, learn: Callable[..., Any], torch: Any, tmp_path: Path
) -> None:
    whole = learn(tmp_path / "one")
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "two", report=stopper(stopped_at))
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    done = learn(tmp_path / "two")
    assert done.resumed_at == stopped_at
    assert done.last == whole.last
    other = state(done.model)
    assert all(torch.equal(value, other[name]) for name, value in state(whole.model).items())


def test_the_original_and_batch_norms_statistics_stay(
    learn: Callable[..., Any], pair: tuple[Any, Any], torch: Any, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in state(pair[0]).items()}
    after = state(learn(tmp_path / "c", steps=2).model)
    assert all(torch.equal(value, before[name]) for name, value in state(pair[0]).items())
    frozen = [name for name in before if "running_" in name or ".dfl." in name]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["model.0.conv.weight"], after["model.0.conv.weight"])


def test_another_runs_checkpoint_is_refused(learn: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "c", report=stopper(2))
    with pytest.raises(ModelError, match="is of another run"):
        learn(tmp_path / "c", rate=1e-4)
    (tmp_path / "c").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ModelError, match=r"cannot be read .*: remove it"):
        learn(tmp_path / "c")


def test_a_rate_that_is_too_high_is_said(learn: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="try a smaller --rate"):
        learn(tmp_path / "c", steps=20, rate=1e30)


_FULL = """
import resource, sys
from pathlib import Path
import pytest
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # a file may not grow: what a full disk does to writers
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from detector.core.errors import StorageError
from detector.optimize.export import ultralytics_models
ultralytics_models.require(threads=1)
from detector.optimize.prune.dataset import Dataset
from detector.optimize.prune.finetune import Schedule, finetune
from detector.optimize.prune.network import keep_deployed
model = ultralytics_models.load(Path(sys.argv[1])); keep_deployed(model)
data = Dataset(folder=Path(sys.argv[2]), size=(64, 64))
try:
    finetune(model, model, data, schedule=Schedule(steps=2, batch=1, every=1), checkpoint=Path(sys.argv[3]))
except StorageError as error:
    print(error)
"""


@pytest.mark.timeout(400)  # loads PyTorch anew, and the machine may be busy
def test_a_full_disk_leaves_no_half_checkpoint(checkpoint: Path, square_pictures: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(checkpoint), str(square_pictures), str(tmp_path / "c")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert f"cannot write the checkpoint {tmp_path / 'c'}" in done.stdout, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(learn: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="free some disk space"):
        learn(tmp_path / "file" / "c", steps=2, every=1)
