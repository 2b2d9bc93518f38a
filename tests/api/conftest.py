"""Windows for the tests: fresh ones, and two that tests share which change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.api import TOKEN, RunningApi, StartApi, running_api


@pytest.fixture
def window() -> Iterator[StartApi]:
    """Opens windows: `window()`, `window(token="...", control=...)`; closes them all."""
    opened: list[RunningApi] = []

    def fresh(**given: Any) -> RunningApi:
        opened.append(running_api(**given))
        return opened[-1]

    yield fresh
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def free() -> Iterator[RunningApi]:
    """A window without a token, for tests that change nothing."""
    opened = running_api()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def locked() -> Iterator[RunningApi]:
    """A window that wants TOKEN, for tests that change nothing and keep no cookie; it takes wrong ones without end."""
    opened = running_api(token=TOKEN)
    opened.app.state.guesses.allowed = 1_000_000
    yield opened
    opened.close()
