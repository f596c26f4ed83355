"""Aggregates as tables and sentences."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.aggregate.write import AggregateReport
from pipeline.job import Job
from pipeline.years import spans


def print_aggregates(console: Console, job: Job, report: AggregateReport) -> None:
    """Say what was aggregated, how far the routes to a regional total disagree, and the totals."""
    console.print(f"aggregated: {spans(report.done) or 'no year'}; up to date: {spans(report.kept) or 'no year'}")
    for year, lacking in report.incomplete.items():
        console.print(f"{year} left out: {lacking} tiles are missing; complete it with `agcarbon run {job.path}`")
    if report.done:
        console.print(f"regional totals by cells, counties, 0.0025 and 0.5 degree: within {report.disagreement:.1e}")
    if not report.region.empty:
        console.print(summary_table(job, report.region))


def summary_table(job: Job, region: pd.DataFrame) -> Table:
    """Area and mean fluxes of each year, over the area under each crop and over all modelled cells."""
    title = (
        f"{job.region.title}\nannual means in g C m-2; NEE positive to the atmosphere, dSOC positive where soil gains"
    )
    fluxes = ("gpp", "reco", "nee", "yield", "dsoc", "balance_residual")
    table = Table(title=title, box=SIMPLE)
    for heading in ("year", "area", "km2", "GPP", "Reco", "NEE", "yield", "dSOC", "resid."):
        table.add_column(heading, justify="left" if heading == "area" else "right")
    of_cells = region[region["route"] == "cells"].sort_values(["year", "cover"], key=_order)
    for row in of_cells.to_dict("records"):
        means = (f"{row[f'{flux}_g_m2']:.1f}" for flux in fluxes)
        table.add_row(str(row["year"]), _AREAS[row["cover"]], f"{row['area_m2'] / 1e6:.1f}", *means)
    return table


_AREAS = {"corn": "corn", "soybean": "soybean", "cells": "all"}  # in the order of the table


def _order(column: pd.Series[Any]) -> pd.Series[Any]:
    """Corn, soybean, then all modelled cells."""
    return column.map({cover: place for place, cover in enumerate(_AREAS)}) if column.name == "cover" else column
