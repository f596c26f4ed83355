"""The summary of aggregates on the terminal."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from pipeline.aggregate.report import print_aggregates, summary_table
from pipeline.aggregate.sums import Sums
from pipeline.aggregate.tables import ROUTES, regional_table
from pipeline.aggregate.write import AggregateReport
from pipeline.job import Job


def region() -> pd.DataFrame:
    sums = Sums.zero(len(ROUTES))
    sums.area_m2[:] = 5e6
    sums.totals_g[:] = 6e8
    return pd.concat([regional_table(sums, year=year) for year in (2012, 2011)])


def test_the_table_has_one_row_for_each_year_and_area_type() -> None:
    console = Console(width=100, record=True)
    console.print(summary_table("A region", region()))
    rows = [line.split() for line in console.export_text().splitlines() if "120.0" in line]
    assert [row[:3] for row in rows] == [
        [str(year), area, "5.0"] for year in (2011, 2012) for area in ("corn", "soybean", "all")
    ]


def test_years_done_kept_and_left_out_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.toml").write_text('region = "demo"\n')
    job = Job.open(tmp_path / "run.toml")
    console = Console(width=400, record=True)
    report = AggregateReport((2011,), (2010,), {2012: 3}, {2009: "a tile is damaged"}, region(), 1e-15, stopped=True)
    print_aggregates(console, job, report)
    text = console.export_text()
    assert "aggregated: 2011; up to date: 2010" in text
    assert f"2012 left out: 3 tiles have no result; complete it with `agcarbon run {job.path}`" in text
    assert "2009 not aggregated: a tile is damaged" in capsys.readouterr().err
    assert "the same command continues with the others" in text
    assert "agree to a relative difference of 1.0e-15" in text
