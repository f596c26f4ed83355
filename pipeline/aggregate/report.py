"""Aggregates on the terminal: the years that were aggregated, and a table of regional means."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipeline.aggregate.write import AggregateReport
from pipeline.console import print_error
from pipeline.job import Job
from pipeline.years import spans

_AREAS = {"corn": "corn", "soybean": "soybean", "cells": "all"}  # in the order of the table
_FLUXES = ("gpp", "reco", "nee", "yield", "dsoc", "balance_residual")


def print_aggregates(console: Console, job: Job, report: AggregateReport) -> None:
    """Print the years done, how well the routes to a regional total agree, and the regional means."""
    console.print(f"aggregated: {spans(report.done) or 'no year'}; up to date: {spans(report.kept) or 'no year'}")
    for year, missing in report.incomplete.items():
        console.print(f"{year} left out: {missing} tiles have no result; complete it with `agcarbon run {job.path}`")
    for year, reason in report.failures.items():
        print_error(
            f"{year} not aggregated: {reason}; `agcarbon audit {job.path}` finds damaged results, the same command "
            "continues"
        )
    if report.stopped:
        console.print("stopped; the years above stay, and the same command continues with the others")
    if report.done:
        console.print(
            "regional totals over cells, counties, 0.0025, 0.05 and 0.5 degree agree to a relative "
            f"difference of {report.disagreement:.1e}"
        )
    if not report.region.empty:
        console.print(summary_table(job.region.title, report.region))


def summary_table(title: str, region: pd.DataFrame) -> Table:
    """Return the area and mean fluxes of each year, over the area under each crop and over all modelled cells."""
    signs = "annual means in g C m-2; NEE is positive to the atmosphere, dSOC where the soil gains carbon"
    table = Table(title=f"{title}\n{signs}", box=SIMPLE)
    for heading in ("year", "area", "km2", "GPP", "Reco", "NEE", "yield", "dSOC", "resid."):
        table.add_column(heading, justify="left" if heading == "area" else "right")
    of_cells = region[region["route"] == "cells"].sort_values(["year", "cover"], key=_order)
    for row in of_cells.to_dict("records"):
        means = (f"{row[f'{flux}_g_m2']:.1f}" for flux in _FLUXES)
        table.add_row(str(row["year"]), _AREAS[row["cover"]], f"{row['area_m2'] / 1e6:.1f}", *means)
    return table


def _order(column: pd.Series[Any]) -> pd.Series[Any]:
    """Corn, soybean, then all modelled cells."""
    return column.map({name: place for place, name in enumerate(_AREAS)}) if column.name == "cover" else column
