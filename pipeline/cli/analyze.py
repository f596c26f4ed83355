"""`agcarbon analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import Fields, Label, ResultYears, State

if TYPE_CHECKING:
    from pipeline.analysis.findings import Analysis
    from pipeline.analysis.subject import Subject


def analyze(
    name: Annotated[str | None, typer.Argument(help="analysis, or `all`; without one, all are listed")] = None,
    run_file: Annotated[Path | None, typer.Argument(help="run file")] = None,
    *,
    years: ResultYears = None,
    at: State = None,
    data: Annotated[
        Path | None, typer.Option(help="folder of observations: nass/*.csv of QuickStats, as for `evaluate`")
    ] = None,
    fields: Fields = None,
    label: Label = None,
    price: Annotated[float, typer.Option(help="price of soil carbon [USD per t CO2e], for `coarse`")] = 30.0,
    every_cell: Annotated[
        bool, typer.Option("--every-cell", help="for `coarse`: aggregate all cells with GPP, not only modelled ones")
    ] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="folder or s3://bucket/prefix; default: analyses in exports")
    ] = None,
) -> None:
    """Analyse the cube as the paper does.

    Table, figure and page of each analysis, with its limits.
    """
    from pipeline.analysis.registry import ALL, ANALYSES, named
    from pipeline.analysis.subject import Options, Subject
    from pipeline.analysis.write import folder_of
    from pipeline.console import console
    from pipeline.errors import UserError
    from pipeline.job import Job
    from pipeline.storage import s3

    if name is None:
        for analysis in ANALYSES:
            console.print(f"{analysis.name:12} {analysis.purpose}", soft_wrap=True)
        return
    chosen = ANALYSES if name == ALL else (named(name),)
    if run_file is None:
        raise UserError(f"no run file given; write `agcarbon analyze {name} run.toml`")
    if output and (fault := s3.fault(output)):
        raise UserError(f"--output: {fault}")
    job = Job.open(run_file)
    options = Options(data=data, fields=fields, label=label, price=price, every_cell=every_cell)
    subject = Subject.open(job, years=years, at=at, options=options)
    folder = output or folder_of(job.stores.exports)
    for note in subject.provenance["incomplete"]:
        console.print(f"note: {note}")
    for analysis in chosen:
        if reason := analysis.obstacle(subject):
            if name != ALL:
                raise UserError(f"{job.stores.cube}: `{name}` {reason}")
            console.print(f"left out: {analysis.name}: {reason}", soft_wrap=True)
        else:
            _analyse(analysis, subject, folder)


def _analyse(analysis: Analysis, subject: Subject, folder: str) -> None:
    from pipeline.analysis.write import write_findings
    from pipeline.console import console

    found = analysis.analyse(subject)
    record = write_findings(folder, analysis, subject, found)
    mark = " (synthetic)" if subject.synthetic else ""
    console.print(f"{analysis.title}{mark}: {folder}/{analysis.name}: {', '.join(record['files'])}", soft_wrap=True)
    for line in (*map(str, found.numbers), *(f"note: {note}" for note in found.notes)):
        console.print(f"  {line}", soft_wrap=True)
