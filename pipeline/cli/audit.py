"""`agcarbon audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import RunFilePath


def audit(
    run_file: RunFilePath,
    years: Annotated[str | None, typer.Option(help="2012, 2010-2012 or 2010,2012; all recorded ones if absent")] = None,
    tile: Annotated[list[str] | None, typer.Option(help="only this tile; may be repeated")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="only so many tile-years, drawn at random")] = None,
    at: Annotated[
        str | None, typer.Option(help="a release, or a snapshot of `agcarbon history`; the cube as it is now if absent")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write all of it to this file")] = None,
    rerun: Annotated[Path | None, typer.Option(help="write the list that `agcarbon run --from-audit` takes")] = None,
) -> None:
    """Check every recorded tile-year of the cube against the ledger, its inputs, its neighbours and itself."""
    from pipeline.audit.audit import Scope
    from pipeline.audit.audit import audit as audit_job
    from pipeline.cluster.dask import open_executor
    from pipeline.console import console, progress_bars
    from pipeline.errors import UserError
    from pipeline.job import Job

    job = Job.open(run_file)
    if at and rerun:
        raise UserError("--rerun is for the cube as it is now, which a run changes; audit without --at for its list")
    scope = Scope(frozenset(job.years(years)) if years else None, frozenset(tile) if tile else None, sample, at)
    with progress_bars() as progress, open_executor(job.run_file.execution) as executor:
        report = audit_job(job, executor, scope=scope, progress=progress)
    for path, text in ((json_file, report.as_json()), (rerun, report.rerun_json())):
        if path:
            path.write_text(text + "\n")
    console.print(report.table())
    for line in (*report.remarks(), *map(str, report.failures)):
        console.print(line)
    print(report.last_line())
    raise typer.Exit(0 if report.ok else 1)
