"""`agcarbon audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, RunFilePath, State


def audit(
    run_file: RunFilePath,
    years: Annotated[
        str | None, typer.Option(help="2012, 2010-2012 or 2010,2012; default: all that are recorded")
    ] = None,
    tile: Annotated[list[str] | None, typer.Option(help="only this tile; may be repeated")] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="number of tile-years, drawn at random; default: all")
    ] = None,
    at: State = None,
    rerun: Annotated[
        Path | None, typer.Option(help="write the list for `agcarbon run --from-audit` to this file")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check results for damage, plausibility and carbon balance.

    Recorded tile-years are also compared with the ledger and the inputs.
    """
    from pipeline.audit.audit import Scope
    from pipeline.audit.audit import audit as audit_job
    from pipeline.cluster.dask import open_executor
    from pipeline.cluster.stop import EXIT_CODE, stop_on_signals
    from pipeline.console import console, print_error, print_json, progress_bars
    from pipeline.errors import UserError
    from pipeline.job import Job

    job = Job.open(run_file)
    if at and rerun:
        raise UserError("--rerun lists tile-years of the newest state, which a run changes; audit without --at for it")
    scope = Scope(frozenset(job.years(years)) if years else None, frozenset(tile) if tile else None, sample, at)
    log = job.log_file("audit")
    with stop_on_signals() as stop, progress_bars(log) as progress, open_executor(job.execution, stop) as executor:
        report = audit_job(job, executor, scope=scope, progress=progress)
    if stop.asked:
        found = [failure for failure in report.failures if failure.tile]  # sums over a part of the tiles say nothing
        for failure in found:
            print_error(str(failure))
        print_error(
            f"stopped before everything was verified: no verdict; {len(found)} failures in the {report.tile_years} "
            "tile-years that were audited"
        )
        raise typer.Exit(EXIT_CODE)
    if rerun:
        rerun.write_text(report.rerun_json() + "\n")
    console.print(report.table())
    for line in report.remarks():
        console.print(line)
    for failure in report.failures:
        print_error(str(failure))
    console.print(report.last_line(), soft_wrap=True)
    if as_json:
        print_json(report.as_json())
    raise typer.Exit(0 if report.ok else 1)
