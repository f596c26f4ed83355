"""Names that the shell completes: regions, states, variables, releases.

Each function takes the begin of a word and returns the words that it may become. Of lists with commas, the part after
the last comma is completed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer


def region_names(incomplete: str) -> list[str]:
    """Return the regions that are included, and region files of the working folder."""
    from regions import included

    return _begin(incomplete, [*included(), *sorted(str(file) for file in Path().glob("*.toml"))])


def state_names(incomplete: str) -> list[str]:
    """Return the postal abbreviations of states, as a list with commas."""
    from regions import STATES

    return _in_list(incomplete, STATES)


def variable_names(incomplete: str) -> list[str]:
    """Return the annual layers and daily fluxes of a cube, as a list with commas."""
    from pipeline.variables import ANNUAL, DAILY

    return _in_list(incomplete, dict.fromkeys(variable.name for variable in (*ANNUAL, *DAILY)))


def release_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the releases of the cube of the run file that stands before on the line; none if it cannot be read."""
    from icechunk import IcechunkError

    from pipeline.job import Job

    run_file = context.params.get("run_file")
    if run_file is None:
        return []
    try:
        return _begin(incomplete, sorted(Job.open(Path(run_file)).open_cube().list_tags()))
    except (OSError, ValueError, IcechunkError):
        return []  # the command itself reports why; in the middle of a line there is no place for it


def _begin(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def _in_list(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{name}" for name in _begin(last, names) if name not in taken]
