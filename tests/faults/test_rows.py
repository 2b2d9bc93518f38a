"""The list of rows in README.md names tests that exist, and has each row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def named() -> list[tuple[str, str]]:
    """File and function of each test in the list."""
    text = (TESTS / "faults" / "README.md").read_text(encoding="utf-8")
    return re.findall(r"`([\w/]+\.py)::(\w+)`", text)


def test_every_test_that_is_named_exists() -> None:
    assert len(named()) > 40
    for file, function in named():
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{function}"


def test_each_numbered_row_is_there() -> None:
    text = (TESTS / "faults" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+b?) \|.*::test_", text, re.MULTILINE)
    assert rows == [*map(str, range(1, 14)), "13b", "14", "15"]
