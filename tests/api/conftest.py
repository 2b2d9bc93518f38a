"""Windows for the tests: fresh ones, and two that tests share which change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.window import TOKEN, Open, Window, open_window


@pytest.fixture
def window() -> Iterator[Open]:
    """Opens windows: `window()`, `window(token="...", control=...)`; closes them all."""
    opened: list[Window] = []

    def fresh(**given: Any) -> Window:
        opened.append(open_window(**given))
        return opened[-1]

    yield fresh
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def free() -> Iterator[Window]:
    """A window without a token, for tests that change nothing."""
    opened = open_window()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def locked() -> Iterator[Window]:
    """A window that wants TOKEN, for tests that change nothing and keep no cookie."""
    opened = open_window(token=TOKEN)
    yield opened
    opened.close()
