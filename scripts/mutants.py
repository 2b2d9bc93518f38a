"""Can the tests fail? One wrong thing at a time in a copy of the tree, and the tests that must notice.

    python scripts/mutants.py [NAME ...]     NAME: a mutant, or all of them

Exit 1 where a mutant lives, or where the tests fail without one. The kernels' own arithmetic has 50 more, in one
process: tests/inference/kernels/test_mutants.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("detector", "tests", "engines", "bench", "pyproject.toml", "README.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`old` becomes `new` in `path`; the tests are what pytest is given, and must fail then."""

    name: str
    path: str
    old: str
    new: str
    tests: str


_INFERENCE, _MANIFEST = "detector/inference", "detector/inference/tensorrt/manifest.py"
_AGREEMENT = "detector/inference/agreement.py"
_MANIFEST_TESTS, _GATE = "tests/inference/tensorrt/test_manifest.py", "tests/models/accuracy/test_gate.py"
_LETTERBOX = "tests/inference/kernels/test_letterbox.py"
_RUNNING = "tests/inference/backends/test_tensorrt_running.py"

MUTANTS = [
    Mutant(
        name="kernel-weights", path=f"{_INFERENCE}/kernels/letterbox.cu", tests=f"{_LETTERBOX} -k opencv",
        old="float(rest) * inverse}", new="1.0f - float(rest) * inverse}",
    ),
    Mutant(
        name="kernel-reads-for-nothing", path=f"{_INFERENCE}/kernels/letterbox.cu", tests=f"{_LETTERBOX} -k hardly_more",
        old="rest ? first + 1 : first", new="first + 1",
    ),
    Mutant(
        name="kernel-colours", path=f"{_INFERENCE}/kernels/launch.py", tests=f"{_LETTERBOX} -k standards",
        old='"bt709": (0.2126, 0.0722)', new='"bt709": (0.299, 0.114)',
    ),
    Mutant(
        name="key-without-the-model", path=_MANIFEST, tests=_MANIFEST_TESTS,
        old='return _digest({"recipe": dataclasses.asdict(self.recipe), "environment": made_for})',
        new='return _digest({"recipe": self.recipe.precision, "environment": made_for})',
    ),
    Mutant(
        name="key-without-the-machine", path=_MANIFEST, tests=_MANIFEST_TESTS,
        old='"environment": made_for})', new='"environment": self.environment.flavour})',
    ),
    Mutant(
        name="foreign-engine-passes", path=_MANIFEST, tests=_MANIFEST_TESTS,
        old='if then[name] != now[name] and name != "driver"', new='if then[name] != now[name] and name == "gpu"',
    ),
    Mutant(
        name="damaged-engine-passes", path=_MANIFEST, tests=_MANIFEST_TESTS,
        old="if file_sha256(engine) != manifest.sha256:", new="if False:",
    ),
    Mutant(
        name="refused-engine-passes", path=_MANIFEST, tests=_MANIFEST_TESTS,
        old="if not manifest.verdict.accepted:", new="if False:",
    ),
    Mutant(
        name="old-verdict-holds", path=_MANIFEST, tests=_MANIFEST_TESTS,
        old="manifest.verdict is None or manifest.judged_in != here.key", new="manifest.verdict is None",
    ),
    Mutant(
        name="gate-misses", path=_AGREEMENT, tests=_GATE,
        old="missed_share: float = 0.02", new="missed_share: float = 0.05",
    ),
    Mutant(
        name="gate-ghosts", path=_AGREEMENT, tests=_GATE,
        old="extra_share: float = 0.05", new="extra_share: float = 0.1",
    ),
    Mutant(
        name="gate-boxes", path=_AGREEMENT, tests=_GATE,
        old="iou_mean: float = 0.93", new="iou_mean: float = 0.9",
    ),
    Mutant(
        name="gate-scores", path=_AGREEMENT, tests=_GATE,
        old="score_delta_mean: float = 0.05", new="score_delta_mean: float = 0.07",
    ),
    Mutant(
        name="gate-stricter", path=_AGREEMENT, tests=_GATE,
        old="score_delta_mean: float = 0.05", new="score_delta_mean: float = 0.03",
    ),
    Mutant(
        name="gate-nan", path="detector/models/accuracy/gate.py", tests=_GATE,
        old="    except InferenceError as error:\n            return _verdict(tally, limits, None, [f",
        new="    except InferenceError as error:\n            continue\n            return _verdict(tally, limits, None, [f",
    ),
    Mutant(
        name="none-unchecked", path=f"{_INFERENCE}/backends/tensorrt.py", tests="tests/inference/backends/test_tensorrt.py",
        old="    if engine is None:", new="    if False:",
    ),
    Mutant(
        name="allocates-per-frame", path=f"{_INFERENCE}/backends/gpu_pipeline.py", tests=f"{_RUNNING} -k asks_of",
        old="if self._host is None or self._host.bytes.size < size:", new="if True:",
    ),
    Mutant(
        name="default-stream", path=f"{_INFERENCE}/backends/gpu_pipeline.py", tests=f"{_RUNNING} -k asks_of",
        old="grid=launch.grid, stream=self._stream)", new="grid=launch.grid)",
    ),
    Mutant(
        name="graph-of-another-size", path=f"{_INFERENCE}/backends/tensorrt.py", tests=f"{_RUNNING} -k batch",
        old="if (way, count) not in self._graphs:", new="count = max([own for _, own in self._graphs], default=count)\n        if (way, count) not in self._graphs:",
    ),
    Mutant(
        name="fault-forgotten", path=f"{_INFERENCE}/backends/tensorrt.py", tests=f"{_RUNNING} -k sticky",
        old="self._failed = one_line(error)\n", new="self._failed = None\n",
    ),
    Mutant(
        name="batch-mixes-pictures", path="detector/models/graph/batch.py", tests="tests/models/graph/test_batch.py",
        old="np.concatenate([[COPY], target[1:]])", new="target",
    ),
    Mutant(
        name="unbounded-reloads", path="detector/models/reload_limit.py", tests="tests/models/test_reload_limit.py",
        old="len(self._engines) == MOST and", new="False and",
    ),
    Mutant(
        name="silent-reload", path="detector/service/model_host.py", tests="tests/service/test_inference_loop_batches.py -k loaded_again",
        old='self.note = f"{old.backend} failed', new='_ = f"{old.backend} failed',
    ),
]  # fmt: skip


def mutated(root: Path, mutant: Mutant) -> str:
    """The file with the mutant in it; raises ValueError where its text is not there exactly once."""
    text = (root / mutant.path).read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text is {text.count(mutant.old)} times in {mutant.path}, not once")
    return text.replace(mutant.old, mutant.new)


@contextmanager
def copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root = Path(folder) / "tree"
        root.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.engine", "out"))
            else:
                shutil.copy2(source, root / name)
        yield root


def fails(root: Path, tests: str) -> bool:
    """Whether the tests fail on the tree; raises RuntimeError where none of them ran."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *_words(tests)]
    shared = os.environ.get("DETECTOR_SHARED", str(ROOT.parent / "shared"))
    environment = {**os.environ, "PYTHONPATH": str(root), "DETECTOR_SHARED": shared, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode not in (0, 1) or (done.returncode == 0 and "passed" not in done.stdout):
        raise RuntimeError(f"{tests}: no test ran\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


def _words(tests: str) -> list[str]:
    path, *rest = tests.split(" -k ")
    return [path, "-k", rest[0]] if rest else [path]


def main(names: list[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if unknown := set(names) - {mutant.name for mutant in MUTANTS}:
        sys.exit(f"mutants: no mutant {', '.join(sorted(unknown))}")
    alive = 0
    with copy() as root:
        for tests in sorted({mutant.tests for mutant in chosen}):
            if fails(root, tests):
                sys.exit(f"mutants: {tests} fails as the tree is: mend that first")
        for mutant in chosen:
            whole = (root / mutant.path).read_text(encoding="utf-8")
            (root / mutant.path).write_text(mutated(root, mutant), encoding="utf-8")
            noticed = fails(root, mutant.tests)
            (root / mutant.path).write_text(whole, encoding="utf-8")
            alive += not noticed
            sys.stdout.write(f"{'noticed' if noticed else 'LIVES  '}  {mutant.name:26}{mutant.tests}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - alive} of {len(chosen)} were noticed\n")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
