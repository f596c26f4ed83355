"""The terminal: results of commands as text and JSON, how much of it is shown, and the progress of long work."""

from __future__ import annotations

import json
import logging
import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import progress as rich_progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipeline.progress import Progress, Work, Works

log = logging.getLogger(__name__)

LINE_SECONDS = 30.0


class Terminal(Console):
    """The console of the commands; while it is quiet, it remembers the last line of text."""

    last_line = ""
    verbose = False  # whether lines that modules log are shown, with those of progress among them

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, unless the console is quiet."""
        if self.quiet and objects and isinstance(objects[-1], str):
            self.last_line = objects[-1].rpartition("\n")[2]
        super().print(*objects, **options)


console = Terminal(highlight=False, markup=False)  # no markup: paths and notes may contain brackets


@contextmanager
def verbosity(*, quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Show errors and the last line alone, or also the lines that modules log, on stderr; progress is one of these."""
    with ExitStack() as stack:
        if verbose:
            stack.enter_context(_logged(_OnStderr()))
        console.quiet, console.verbose, console.last_line = quiet, verbose, ""
        try:
            yield
        finally:
            console.quiet = console.verbose = False
    if console.last_line:
        console.print(console.last_line, soft_wrap=True)


@contextmanager
def text_on_stderr() -> Iterator[None]:
    """Print text and progress on stderr: stdout is for the JSON of the command."""
    console.stderr = True
    try:
        yield
    finally:
        console.stderr = False


def print_error(line: str) -> None:
    """Print the failure of a part of the work on stderr, also while the console is quiet."""
    print(line, file=sys.stderr)


def print_hint(line: str) -> None:
    """Print a line that helps a person on stderr, unless the console is quiet or the result is JSON for a program."""
    if not console.quiet and not console.stderr:
        print_error(line)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout."""
    print(json_text(document))


def json_text(document: Mapping[str, Any]) -> str:
    """Return JSON with null for numbers that JSON does not have: NaN and infinities.

    Examples
    --------
    >>> json_text({2012: (1.5, float("nan"))}).split()
    ['{', '"2012":', '[', '1.5,', 'null', ']', '}']
    """
    return json.dumps(_plain(document), indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
        log.info(line)
        if not in_terminal and not console.verbose:
            console.print(f"{time.strftime('%H:%M:%SZ', time.gmtime())} {line}", soft_wrap=True)

    with ExitStack() as stack:
        if log_file:
            stack.enter_context(_log_file(log_file))
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


class _OnStderr(logging.Handler):
    """Lines on stderr, whatever that is at the time: bars of progress replace it to stay below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        print_error(self.format(record))


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Log to a file: the project's messages, other packages' warnings, and the error that ends the block."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:  # the command itself refuses what it needs to write
        console.print(f"note: no log file: {error}", soft_wrap=True)
        yield
        return
    with _logged(handler):
        try:
            log.info("agcarbon %s: %s", version("agcarbon"), shlex.join(sys.argv[1:]))
            yield
            log.info("ended")
        except BaseException as error:
            log.info("ended by %s: %s", type(error).__name__, error)
            raise


@contextmanager
def _logged(handler: logging.Handler) -> Iterator[None]:
    """Give the project's messages and other packages' warnings to a handler."""
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root, ours = logging.getLogger(), logging.getLogger("pipeline")
    before = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(before)
        root.removeHandler(handler)
        handler.close()
