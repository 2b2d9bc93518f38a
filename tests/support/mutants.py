"""One wrong thing at a time: variants of a source by substitution of text."""

from __future__ import annotations

from collections.abc import Mapping


def mutants(text: str, changes: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """`text` with each of `changes` (from, to) made alone, by name; each must change something."""
    made = {}
    for name, (old, new) in changes.items():
        if old not in text:
            raise AssertionError(f"the mutant {name} finds nothing to change: {old}")
        made[name] = text.replace(old, new)
    return made
