"""`agcarbon audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import RunFilePath, State


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
    json_file: Annotated[Path | None, typer.Option("--json", help="write all results to this file")] = None,
    rerun: Annotated[
        Path | None, typer.Option(help="write the list for `agcarbon run --from-audit` to this file")
    ] = None,
) -> None:
    """Check recorded tile-years for damage, plausible values, carbon balance, and agreement with ledger and inputs."""
    from pipeline.audit.audit import Scope
    from pipeline.audit.audit import audit as audit_job
    from pipeline.cluster.dask import open_executor
    from pipeline.console import console, progress_bars
    from pipeline.errors import UserError
    from pipeline.job import Job

    job = Job.open(run_file)
    if at and rerun:
        raise UserError("--rerun lists tile-years of the newest state, which a run changes; audit without --at for it")
    scope = Scope(frozenset(job.years(years)) if years else None, frozenset(tile) if tile else None, sample, at)
    with progress_bars(job.log_file("audit")) as progress, open_executor(job.execution) as executor:
        report = audit_job(job, executor, scope=scope, progress=progress)
    for path, text in ((json_file, report.as_json()), (rerun, report.rerun_json())):
        if path:
            path.write_text(text + "\n")
    console.print(report.table())
    for line in (*report.remarks(), *map(str, report.failures)):
        console.print(line)
    print(report.last_line())
    raise typer.Exit(0 if report.ok else 1)
