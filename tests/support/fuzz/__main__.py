"""Fuzzes targets guided by coverage: python -m support.fuzz CORPUS TARGET=RUNS...; atheris must be installed.

Each target runs in a process of its own over CORPUS/TARGET, RUNS times, from a fixed seed. Exit code 1 where one
failed; the input that did is then under the folder that is printed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with warnings.catch_warnings(), atheris.instrument_imports(include=["detector"], enable_loader_override=False):
    warnings.simplefilter("ignore")
    from support.fuzz.registry import TARGETS

SEED = 16
MAX_BYTES = 4096
HANG_S = 20


def _fuzz(name: str, corpus: Path, runs: int, found: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    new = found / f"{name}-corpus"
    new.mkdir()
    options = [f"-runs={runs}", f"-seed={SEED}", f"-max_len={MAX_BYTES}", f"-timeout={HANG_S}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={found}/{name}-", str(new), str(corpus)], TARGETS[name])
    atheris.Fuzz()


def main(corpus: Path, asked: list[str]) -> int:
    found, failed = Path(tempfile.mkdtemp(prefix="fuzz-")), []
    for name, _, runs in (each.partition("=") for each in asked):
        print(f"== {name}", flush=True)
        child = os.fork()  # the imports are paid once
        if child == 0:
            _fuzz(name, corpus / name, int(runs), found)
        if os.waitpid(child, 0)[1] != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed) or 'none'}; inputs in {found}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
