"""The command `agcarbon`."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from pipeline.cli import (
    aggregate,
    analyze,
    audit,
    checkpoint,
    demo,
    evaluate,
    fetch,
    history,
    ingest,
    init,
    inputs,
    plan,
    report,
    run,
    site,
    status,
    train,
    training_data,
    year_map,
)
from pipeline.cli.exports import cog, extract, view, zonal
from pipeline.cli.guide import lookup
from pipeline.cli.guide.help import Guided
from pipeline.cluster.stop import end_at_once

app = typer.Typer(
    name="agcarbon",
    cls=Guided,
    help="Maps of cropland carbon fluxes, yield and soil-carbon change from a KGML-ag-Carbon checkpoint.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"agcarbon {version('agcarbon')}")
        raise typer.Exit


@app.callback()
def settings(
    context: typer.Context,
    *,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version and exit")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="print only errors and the last line")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="print log lines too, on stderr")] = False,
) -> None:
    """Take the settings of all commands."""
    if quiet and verbose:
        raise typer.BadParameter("give either --quiet or --verbose")
    if quiet or verbose:
        from pipeline.console import verbosity

        context.with_resource(verbosity(quiet=quiet, verbose=verbose))


app.command()(init.init)
app.command()(lookup.regions)
app.command()(lookup.counties)
app.command()(fetch.fetch)
app.command()(ingest.ingest)
app.command()(inputs.inputs)
app.command()(plan.plan)
app.command()(run.run)
app.command()(status.status)
app.command()(history.history)
app.command()(history.tag)
app.command()(history.diff)
app.command()(history.rollback)
app.command()(history.gc)
app.command()(aggregate.aggregate)
app.command()(audit.audit)
app.add_typer(cog.app, name="export", help="Export the maps of the cube as files.")
app.command()(zonal.zonal)
app.command()(extract.extract)
app.command("map")(year_map.year_map)
app.command()(view.view)
app.command()(analyze.analyze)
app.command()(report.report)
app.add_typer(checkpoint.app, name="checkpoint", help="Import and inspect trained networks.")
app.add_typer(demo.app, name="demo", help="Make synthetic archives and map them.")
app.command()(site.site)
app.command()(train.train)
app.command("training-data")(training_data.training_data)
app.add_typer(evaluate.app, name="evaluate", help="Compare checkpoints with data and published figures.")


def main() -> NoReturn:
    """Run the command line: exit code 0 for success, 1 for work left undone, 2 for an error that the user can fix."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_at_once)
    try:
        app()
        code = 0
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        print(f"agcarbon: {message}", file=sys.stderr)
        code = 2
    atexit.register(_leave, code)  # the last that is registered is called first
    sys.exit(code)


def _leave(code: int) -> None:
    """End the process without finalizing Python, when all work is done and all its threads have ended.

    A thread of Icechunk that drops its last Python object while Python is being finalized aborts the process: 16 of 200
    short commands on a busy machine (PyO3/pyo3-async-runtimes, issue 40). Zarr's own end prints a traceback there.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever read it is gone
            stream.flush()
    os._exit(code)


def _message(error: Exception) -> str | None:
    """Return the message of an error that the user can fix, of the input or its storage; None for a bug of ours."""
    # Imported here: they import torch, which would make `agcarbon --help` slow.
    from icechunk import IcechunkError

    from model.checkpoint import CheckpointError
    from model.data.records import DataSetError
    from model.recipe.toml import RecipeError
    from pipeline.errors import UserError
    from pipeline.storage.retry import describe
    from regions import RegionError

    if isinstance(error, IcechunkError):
        return f"a store cannot be read or written: {describe(error)}; check the storage, then repeat the command"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return (
            f"{os.fspath(error.filename)}: {error.strerror[0].lower()}{error.strerror[1:]}; make the place accessible, "
            "or name another one"
        )
    # By type: our own bugs raise ValueErrors too, and keep their traceback.
    fixable = (OSError, UserError, CheckpointError, DataSetError, RecipeError, RegionError)
    return str(error) if isinstance(error, fixable) else None


if __name__ == "__main__":
    main()
