"""Marks for tests that need what `make test` does not install."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., object])


def needs_openvino(test: Test) -> Test:
    """Runs with `make test-optimize`, which installs the extra openvino."""
    missing = importlib.util.find_spec("openvino") is None
    skip = pytest.mark.skipif(missing, reason="needs the extra openvino (make test-optimize)")
    marked: Test = pytest.mark.optimize(skip(test))
    return marked
