"""`make mutants` takes minutes; here, that each mutant still finds its text, and that one is noticed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "scripts/mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    sys.modules["mutants"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_mutant_finds_its_text_and_its_tests(script: ModuleType) -> None:
    for mutant in script.MUTANTS:
        assert script.mutated(ROOT, mutant) != (ROOT / mutant.path).read_text()
        assert (ROOT / mutant.tests.split(" -k ")[0]).is_file()


def test_a_mutant_is_noticed_and_an_unknown_one_told(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["key-without-the-model"]) == 0
    assert "noticed  key-without-the-model" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no mutant nobody"):
        script.main(["nobody"])
