"""Progress bars on stderr, only on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Report = Callable[[int, int | None, str], None]
"""(done, total or None where unknown, what): called as often as one likes."""


def _bar(console: Console, *, download: bool) -> Progress:
    amount = DownloadColumn() if download else TaskProgressColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def progress(*, download: bool = False) -> Iterator[Report]:
    """A bar that follows its reports; without a terminal each new `what` of a download is one line."""
    console = Console(stderr=True)
    printed: set[str] = set()
    with _bar(console, download=download) as bar:
        task = bar.add_task("", total=None)

        def report(done: int, total: int | None, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)
            if download and not console.is_terminal and what not in printed:
                printed.add(what)
                console.print(f"downloading: {what}", highlight=False)

        yield report
