"""Servers for the tests: fresh ones, and two for tests that change nothing; a browser and its pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.api import TOKEN, RunningApi, StartApi, running_api
from support.browser import Browser, Look, Page


@pytest.fixture
def window() -> Iterator[StartApi]:
    """Starts servers: `window()`, `window(token="...", control=...)`; stops them all."""
    opened: list[RunningApi] = []

    def fresh(**given: Any) -> RunningApi:
        opened.append(running_api(**given))
        return opened[-1]

    yield fresh
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def free() -> Iterator[RunningApi]:
    """A server without a token, for tests that change nothing."""
    opened = running_api()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def locked() -> Iterator[RunningApi]:
    """A server that wants TOKEN, for tests that change nothing and keep no cookie."""
    opened = running_api(token=TOKEN)
    opened.app.state.guesses.allowed = 1_000_000  # wrong tokens are what many tests send
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """Opens pages and closes them."""
    pages: list[Page] = []

    def go(url: str, **how: Any) -> Page:
        pages.append(browser.page(url, **how))
        return pages[-1]

    yield go
    for page in pages:
        page.close()
