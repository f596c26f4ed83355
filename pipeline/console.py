"""The terminal: the console to which commands print, and the progress of long work there and in a log file."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from rich import progress as rich_progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipeline.progress import Progress, Work, Works

console = Console(highlight=False, markup=False)  # no markup: paths and notes may contain brackets
log = logging.getLogger(__name__)

LINE_SECONDS = 30.0


@contextmanager
def progress_bars(log_file: Path | None = None) -> Iterator[Progress]:
    """Give a progress function: in a terminal it draws a bar for each work, elsewhere a line comes every 30 s.

    Parameters
    ----------
    log_file
        File for the same lines, and for what the command's modules log meanwhile.
    """
    in_terminal = console.is_terminal

    def write(line: str) -> None:
        if log_file:
            log.info(line)
        if not in_terminal:
            console.print(f"{time.strftime('%H:%M:%SZ', time.gmtime())} {line}", soft_wrap=True)

    with ExitStack() as stack:
        if log_file:
            stack.enter_context(_logged(log_file))
        bars = stack.enter_context(_Bars()) if in_terminal else None
        works = stack.enter_context(Works(write, seconds=LINE_SECONDS))

        def report(name: str, done: int, total: int, failed: int = 0, /) -> None:
            work = works.report(name, done, total, failed)
            if bars:
                bars.show(work)

        yield report


class _Pace(ProgressColumn):
    """Rate, remaining time and failures."""

    def render(self, task: Task) -> Text:
        work: Work = task.fields["work"]
        return Text(work.pace(time.monotonic()))


class _Bars(rich_progress.Progress):
    """Bars of works by name."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns, _Pace(), console=console)
        self._ids: dict[str, rich_progress.TaskID] = {}

    def show(self, work: Work) -> None:
        """Draw the bar of a work."""
        if work.name not in self._ids:
            self._ids[work.name] = self.add_task(work.name, total=work.total, work=work)
        self.update(self._ids[work.name], completed=work.done, total=work.total, work=work)


class _LogFile(logging.FileHandler):
    """A log file; that it cannot be written any more ends no work."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record."""

    def close(self) -> None:
        """Close the file, which a full disk may refuse."""
        with suppress(OSError):
            super().close()


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Log to a file: the project's messages, other packages' warnings, and the error that ends the block."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:  # the command itself refuses what it needs to write
        console.print(f"note: no log file: {error}", soft_wrap=True)
        yield
        return
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root, ours = logging.getLogger(), logging.getLogger("pipeline")
    before = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        log.info("agcarbon %s: %s", version("agcarbon"), shlex.join(sys.argv[1:]))
        yield
        log.info("ended")
    except BaseException as error:
        log.info("ended by %s: %s", type(error).__name__, error)
        raise
    finally:
        ours.setLevel(before)
        root.removeHandler(handler)
        handler.close()
