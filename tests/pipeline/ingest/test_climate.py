"""Climate: months read, staged and joined to years; damaged and missing granules."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from rich.console import Console

from pipeline.config import RunFile
from pipeline.inputs.layout import ingested_years
from pipeline.storage import repository
from tests.helpers import small_archives
from tests.helpers.ingests import Counting, digests, do, failure_of, root_of, values_of


def month_file(run_file: RunFile, year: int, month: int) -> Path:
    return run_file.archives.nldas2 / f"NLDAS_FORA0125_H.A{year}{month:02d}.020.nc"


def split_by_month(run_file: RunFile, year: int) -> None:
    """Write the granules of a year as one file a month, in the place of the year's one."""
    next(run_file.archives.nldas2.glob(f"*{year}*")).unlink()
    small_archives.write_months(run_file.archives.nldas2, year)


def warm(path: Path, *, plus: float) -> None:
    with netCDF4.Dataset(path, "a") as granule:
        granule["Tair"][:] = granule["Tair"][:] + plus


def test_a_damaged_granule_is_named_counted_and_outlasted(copied: RunFile) -> None:
    split_by_month(copied, 2011)
    do(copied)
    month = month_file(copied, 2011, 5)
    month.with_name(month.name.replace("05.020", "05b.020")).write_bytes(month.read_bytes()[:5000])
    report = do(copied)
    assert [row.state for row in report.rows if row.wanted.group == "climate/2011"] == ["unchanged"]
    assert len(report.damaged) == 1
    assert "A201105b" in report.damaged[0]
    console = Console(width=300, file=io.StringIO())
    console.print(report)
    assert "left out: " in console.file.getvalue()


def test_a_damaged_hourly_granule_is_filled_named_and_counted(copied: RunFile) -> None:
    """The hour of a file under the archive's name of one hour is known, though not its values."""
    small_archives.write_granules(copied.archives.nldas2, 2011, skip=slice(5000, 5001))
    (copied.archives.nldas2 / "NLDAS_FORA0125_H.A20110728.0800.020.nc").write_text("<!DOCTYPE html>")
    report = do(copied, years=[2011], products=["climate"])
    record = report.rows[0].record
    assert record.counts["damaged files"] == 1
    assert record.counts["hours filled"] == 15  # of the 16 cells, one is undefined
    assert "A20110728.0800" in record.notes["damaged"]


def test_missing_days_of_climate_are_refused_with_their_dates(copied: RunFile) -> None:
    small_archives.write_granules(copied.archives.nldas2, 2011, skip=slice(24 * 40, 24 * 42))
    failure = failure_of(copied, years=[2011], products=["climate"])
    assert "climate/2011: 2011-02: 2 days are missing" in failure
    assert "2011-02-10 to 2011-02-11; download" in failure


def test_values_that_no_weather_has_are_refused_with_the_likely_cause(copied: RunFile) -> None:
    """Hour by hour 0 and 61 degC are possible; no cell has both in one day."""
    granule = next(copied.archives.nldas2.glob("*2011*"))
    with netCDF4.Dataset(granule, "a") as file:
        file["Tair"][500:510] = 273.15
        file["Tair"][510:520] = 334.15
    failure = failure_of(copied, years=[2011], products=["climate"])
    assert failure.startswith("climate/2011: 2011-01: climate: implausible values: tmax_air: maximum 61 is above 55")
    assert "likely cause" in failure


def test_an_ingest_that_was_killed_resumes_with_the_next_month(copied: RunFile) -> None:
    expected = digests(copied, "climate/2011")
    shutil.rmtree(copied.stores.inputs)
    with pytest.raises(KeyboardInterrupt):
        do(copied, executor=Counting(last=5), products=["climate"], years=[2011])
    assert not ingested_years(root_of(copied), "climate")
    second = Counting()
    do(copied, executor=second, products=["climate"], years=[2011])
    assert second.months == [6, 7, 8, 9, 10, 11, 12]
    assert digests(copied, "climate/2011") == expected
    assert not list(repository.subgroup(root_of(copied), "staging").group_keys())


def test_a_month_is_read_again_if_its_files_changed_while_it_waited(copied: RunFile) -> None:
    shutil.rmtree(copied.stores.inputs)
    split_by_month(copied, 2011)
    with pytest.raises(KeyboardInterrupt):
        do(copied, executor=Counting(last=5), products=["climate"], years=[2011])
    touched = month_file(copied, 2011, 2)
    touched.rename(touched.with_name(touched.name.replace("02.020", "02x.020")))
    second = Counting()
    do(copied, executor=second, products=["climate"], years=[2011])
    assert second.months == [1, 2, 3, 6, 7, 8, 9, 10, 11, 12]  # its neighbours need its first and last hours


def test_what_was_staged_for_files_that_are_gone_again_is_not_taken_for_the_year(copied: RunFile) -> None:
    split_by_month(copied, 2011)
    do(copied, products=["climate"], years=[2011])
    original, changed = month_file(copied, 2011, 7), copied.archives.nldas2.parent / "july"
    shutil.copy2(original, changed)
    warm(changed, plus=1.0)
    kept = original.rename(changed.with_name("july-before"))
    shutil.copy2(changed, original)
    with pytest.raises(KeyboardInterrupt):
        do(copied, executor=Counting(last=3), products=["climate"], years=[2011])  # June, July, August are staged
    shutil.copy2(kept, original)  # a change of mind
    before = values_of(copied, 2011)
    warm(month_file(copied, 2011, 2), plus=1.0)
    do(copied, products=["climate"], years=[2011])
    np.testing.assert_array_equal(values_of(copied, 2011)[:, 181:212], before[:, 181:212])
    shutil.copy2(changed, original)
    do(copied, products=["climate"], years=[2011])
    warmer = values_of(copied, 2011)[1, 181:212] - before[1, 181:212]
    assert np.nanmin(warmer) > 0.9


def test_only_the_months_that_a_changed_file_touches_are_read_again(copied: RunFile) -> None:
    split_by_month(copied, 2011)
    do(copied, products=["climate"], years=[2011])
    before = values_of(copied, 2011)
    warm(month_file(copied, 2011, 7), plus=1.0)
    executor = Counting()
    do(copied, executor=executor, products=["climate"], years=[2011])
    assert executor.months == [6, 7, 8]
    changed = (values_of(copied, 2011) != before) & ~np.isnan(before)
    days = np.flatnonzero(changed.any(axis=(0, 2, 3)))
    assert (days.min(), days.max()) == (181, 211)  # July
    assert set(np.flatnonzero(changed.any(axis=(1, 2, 3)))) == {1}  # the maximum of temperature alone
