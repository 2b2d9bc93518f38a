"""Whatever comes in from a file, camera, broker or browser: a result or the module's own error, never a crash.

The corpus holds real inputs (`python -m support.fuzz.seeds`) and what a fuzzer found that reached other code. With
`make fault` atheris chooses inputs by the coverage that they reach, where it is installed; elsewhere hypothesis changes the
corpus. The numbers of runs are fixed, and as large as fits into a minute and a half together.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.core.redact import redact
from support.fuzz.registry import TARGETS

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parent / "corpus"
RUNS = {
    "config": 1500, "decoder": 20_000, "rtsp": 2000, "sdp": 20_000, "login": 10_000, "h264": 10_000, "h265": 10_000,
    "mjpeg": 10_000, "mqtt": 20_000, "command": 10_000, "http": 1500,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_secrets_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets of fuzzed configurations do not stay in the process's redactor."""
    monkeypatch.setattr(redact, "_known", redact._known)
    monkeypatch.setattr(redact, "_patterns", redact._patterns)


def inputs(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def changed(target: str) -> st.SearchStrategy[bytes]:
    """An input of the corpus with bytes put in, cut out or replaced, or joined with another; or any bytes."""
    edits = st.lists(st.tuples(st.integers(0, 4096), st.integers(0, 16), st.binary(max_size=16)), max_size=6)

    def edited(data: bytes, changes: list[tuple[int, int, bytes]], tail: bytes) -> bytes:
        for at, cut, put in changes:
            place = at % (len(data) + 1)
            data = data[:place] + put + data[place + cut :]
        return data + tail

    known = st.sampled_from(inputs(target))
    return st.one_of(st.binary(max_size=200), st.builds(edited, known, edits, st.one_of(st.just(b""), known)))


def hold(target: str, examples: int) -> None:
    checks = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)
    bounded = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=checks)
    bounded(given(changed(target))(TARGETS[target]))()


def test_each_target_has_a_corpus_and_a_number_of_runs() -> None:
    assert set(RUNS) == set(TARGETS) == {path.name for path in CORPUS.iterdir()}
    for path in CORPUS.rglob("*"):
        assert path.is_dir() or path.stat().st_size <= 4096, path


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_and_some_changes_of_it(target: str) -> None:
    for data in inputs(target):
        TARGETS[target](data)
    hold(target, 25)


@pytest.mark.fault
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python here")
def test_fuzzed_by_coverage() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "tests"), str(ROOT)))}
    asked = [f"{name}={runs}" for name, runs in RUNS.items()]
    command = [sys.executable, "-m", "support.fuzz", str(CORPUS), *asked]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=880)
    said = done.stdout + done.stderr
    executed = list(map(int, re.findall(r"stat::number_of_executed_units: +(\d+)", said)))
    print(dict(zip(RUNS, executed, strict=False)))
    assert done.returncode == 0, said[-4000:]
    assert executed == list(RUNS.values())


@pytest.mark.fault
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is not None, reason="atheris does this better")
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzed_by_changes_of_the_corpus(target: str) -> None:
    hold(target, RUNS[target])
