"""The terminal: the console to which commands print, and their progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as rich_progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from pipeline.progress import Progress

console = Console(highlight=False, markup=False)  # no markup: paths and notes may contain brackets


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Give a progress function that draws a bar for each name of work."""
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with rich_progress.Progress(*columns, console=console) as bars:
        tasks = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield report
