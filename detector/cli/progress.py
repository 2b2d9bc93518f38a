"""Progress bars on stderr, only on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as bars
from rich.console import Console

from detector.core.progress import Progress


@contextmanager
def progress(*, download: bool = False) -> Iterator[Progress]:
    """A bar that follows its reports; without a terminal each new `what` of a download is one line."""
    console = Console(stderr=True)
    printed: set[str] = set()
    amount = bars.DownloadColumn() if download else bars.TaskProgressColumn()
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), amount, bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def report(done: int, total: int | None, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)
            if download and not console.is_terminal and what not in printed:
                printed.add(what)
                console.print(f"downloading: {what}", highlight=False)

        yield report
