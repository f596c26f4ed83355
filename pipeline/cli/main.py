"""The command `agcarbon`."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from pipeline.cli import (
    aggregate,
    audit,
    checkpoint,
    demo,
    evaluate,
    export,
    fetch,
    history,
    ingest,
    init,
    inputs,
    plan,
    run,
    site,
    status,
    train,
    training_data,
)

app = typer.Typer(
    name="agcarbon",
    help="Maps of cropland carbon fluxes, yield and soil-carbon change from a KGML-ag-Carbon checkpoint.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(init.init)
app.command()(fetch.fetch)
app.command()(ingest.ingest)
app.command()(inputs.inputs)
app.command()(plan.plan)
app.command()(run.run)
app.command()(status.status)
app.command()(history.history)
app.command()(history.tag)
app.command()(history.rollback)
app.command()(history.gc)
app.command()(aggregate.aggregate)
app.command()(audit.audit)
app.add_typer(export.app, name="export", help="Export the maps of the cube as files.")
app.add_typer(checkpoint.app, name="checkpoint", help="Import and inspect trained networks.")
app.add_typer(demo.app, name="demo", help="Make synthetic archives and map them.")
app.command()(site.site)
app.command()(train.train)
app.command("training-data")(training_data.training_data)
app.add_typer(evaluate.app, name="evaluate", help="Compare checkpoints with data and published figures.")


def main() -> NoReturn:
    """Run the command line: exit code 0 for success, 1 for work left undone, 2 for an error that the user can fix."""
    try:
        app()
    except (ValueError, OSError) as error:
        # Our own bugs also raise ValueErrors: they keep their traceback.
        if not _is_users(error):
            raise
        print(f"agcarbon: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def _is_users(error: Exception) -> bool:
    """Return whether the user can fix the error: one of the input, or of the storage that holds it."""
    # Imported here: they import torch, which would make `agcarbon --help` slow.
    from model.checkpoint import CheckpointError
    from model.data.records import DataSetError
    from model.recipe.toml import RecipeError
    from pipeline.errors import UserError
    from regions import RegionError

    return isinstance(error, (OSError, UserError, CheckpointError, DataSetError, RecipeError, RegionError))


if __name__ == "__main__":
    main()
