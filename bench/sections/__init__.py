"""The sections of engines/README.md, found by being here: see bench.section for how one is made."""

from __future__ import annotations

import importlib
import pkgutil

from bench.section import ResultSection


def all_sections() -> dict[str, ResultSection]:
    """By name, in the page's order."""
    modules = (importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__))
    found: list[ResultSection] = [module.SECTION for module in modules]
    return {section.name: section for section in sorted(found, key=lambda one: one.order)}
