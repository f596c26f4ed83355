"""Ingest: what is read again, what is committed when, and what is refused."""

from __future__ import annotations

import datetime as dt
import io
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.console import Console

from pipeline.cluster.dask import open_executor
from pipeline.cluster.executor import Executor, Outcome, Serial
from pipeline.config import ExecutionSettings, RunFile
from pipeline.errors import UserError
from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import MODIS_TILE_CELLS, Grid, Tile
from pipeline.ingest.climate import MonthWork
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.report import IngestReport
from pipeline.ingest.run import ingest
from pipeline.ingest.strips import STRIP_CELLS, strips
from pipeline.inputs.layout import CLIMATE, ingested_years, tile_digests
from pipeline.progress import on_heartbeat
from pipeline.storage import repository
from regions import load_region
from tests.helpers import small_archives

DAY = dt.date(2011, 7, 16)  # day of year 197, one of those with a SLOPE file


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    run_file = small_archives.write_archives(tmp_path_factory.mktemp("small"))
    ingest(plan_ingest(run_file), executor=Serial())
    return run_file


@pytest.fixture
def copied(ingested: RunFile, tmp_path: Path) -> RunFile:
    """The same archives and store in a folder of their own; file times are kept."""
    source = Path(ingested.region).parent
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    return RunFile.model_validate_json(ingested.model_dump_json().replace(str(source), str(tmp_path)))


def do(run_file: RunFile, *, executor: Executor | None = None, **wanted: Any) -> IngestReport:
    return ingest(plan_ingest(run_file, **wanted), executor=executor or Serial())


def failure_of(run_file: RunFile, **wanted: Any) -> str:
    (failure,) = do(run_file, **wanted).failures
    return failure


def root_of(run_file: RunFile) -> zarr.Group:
    return repository.read(repository.open_existing(run_file.stores.inputs, made_by="test"))


def snapshot(run_file: RunFile) -> str:
    return repository.tip(repository.open_existing(run_file.stores.inputs, made_by="test"))


def digests(run_file: RunFile, group: str) -> dict[str, str]:
    return tile_digests(root_of(run_file), group)


def rewrite(run_file: RunFile, *, plus: int, rows: slice = slice(None), cols: slice = slice(None)) -> Path:
    """Write one SLOPE file of h11v04 again, with some of its values changed."""
    stored = small_archives.gpp_of(run_file, "h11v04").copy()
    stored[rows, cols] += plus
    return small_archives.write_gpp(run_file, DAY, "h11v04", stored)


def test_the_report_counts_what_the_archives_hold(ingested: RunFile) -> None:
    rows = {(row.product, row.year): row for row in do(ingested).rows}
    assert set(rows) == {(p, y) for p in ("climate", "gpp", "crop") for y in (2011, 2012)} | {("soil", None)}
    climate = rows["climate", 2011].record
    assert (climate.cells, climate.missing) == (16, 1)  # the undefined cell
    gpp, tiles = rows["gpp", 2011].record, domain_of(load_region(ingested.region)).tiles
    assert gpp.files == 2 * len(small_archives.DAYS)
    assert gpp.counts["days interpolated"] == len(tiles) * 64 * (198 - len(small_archives.DAYS))
    assert gpp.counts["dormant days set to 0"] == len(tiles) * 64 * (365 - 198)
    assert gpp.counts["tile-days without file"] == len(tiles) * (365 - len(small_archives.DAYS))
    assert 0 < rows["soil", None].record.missing < rows["soil", None].record.cells


def test_an_ingest_gives_a_sign_of_life_at_every_file_of_climate_and_gpp(copied: RunFile) -> None:
    shutil.rmtree(copied.stores.inputs)
    beats: list[None] = []
    with on_heartbeat(lambda: beats.append(None)):
        do(copied)
    archives = copied.archives
    assert archives.nldas2
    assert archives.slope
    files = [path for archive in (archives.nldas2, archives.slope) for path in Path(archive).rglob("*.*")]
    assert len(beats) >= len(files) > 10


def test_the_report_prints(ingested: RunFile) -> None:
    console = Console(width=200, file=io.StringIO())
    console.print(do(ingested))
    text = console.file.getvalue()
    assert "gpp/2012" in text
    assert "unchanged" in text


def test_a_second_ingest_does_nothing(ingested: RunFile) -> None:
    before = snapshot(ingested)
    report = do(ingested)
    assert {row.state for row in report.rows} == {"unchanged"}
    assert snapshot(ingested) == before


def test_the_same_content_in_other_files_keeps_its_digests(copied: RunFile) -> None:
    before = digests(copied, "gpp/2011")
    rewrite(copied, plus=0)
    plan = plan_ingest(copied)
    assert [wanted.group for wanted in plan.todo] == ["gpp/2011"]
    report = ingest(plan, executor=Serial())
    assert {row.wanted.group: row.state for row in report.rows}["gpp/2011"] == "read again, same content"
    assert digests(copied, "gpp/2011") == before


def test_digests_change_for_the_tiles_whose_data_changed_alone(copied: RunFile) -> None:
    before = digests(copied, "gpp/2011")
    rewrite(copied, plus=1, rows=slice(3, 4), cols=slice(9, 10))  # in the second tile from the west
    do(copied, products=["gpp"], years=[2011])
    after = digests(copied, "gpp/2011")
    grid = domain_of(load_region(copied.region)).grid
    second = Tile.holding(grid.first_row, grid.first_col + 8, cells=8)
    assert {name for name in before if before[name] != after[name]} == {second.name}


def test_another_setting_is_another_reading(copied: RunFile) -> None:
    codes = copied.crop.model_copy(update={"corn_codes": (1, 225)})
    plan = plan_ingest(copied.model_copy(update={"crop": codes}))
    assert [wanted.group for wanted in plan.todo] == ["crop/2011", "crop/2012"]


def test_a_region_that_reaches_one_tile_further_is_ingested_with_it(copied: RunFile) -> None:
    before, region = digests(copied, "gpp/2011"), Path(copied.region)
    region.write_text(region.read_text().replace("-89.488", "-89.484"))
    report = do(copied, years=[2011])
    assert {row.product for row in report.rows if row.state != "unchanged"} == {"gpp", "crop", "soil"}
    after = digests(copied, "gpp/2011")
    assert len(after) == len(before) + 1
    assert before.items() < after.items()


def test_a_damaged_file_is_named_and_the_old_data_stay(copied: RunFile) -> None:
    before = digests(copied, "gpp/2011")
    path = rewrite(copied, plus=5)
    path.write_bytes(path.read_bytes()[:300])
    small_archives.write_crops(copied.archives.crop, 2012)
    report = do(copied)
    assert [failure.partition(":")[0] for failure in report.failures] == ["gpp/2011"]
    assert path.name in report.failures[0]
    assert digests(copied, "gpp/2011") == before
    assert [wanted.group for wanted in plan_ingest(copied).todo] == ["gpp/2011"]  # crop/2012 was done


def month_file(run_file: RunFile, year: int, month: int) -> Path:
    return run_file.archives.nldas2 / f"NLDAS_FORA0125_H.A{year}{month:02d}.020.nc"


def split_by_month(run_file: RunFile, year: int) -> None:
    """Write the granules of a year as one file a month, in the place of the year's one."""
    next(run_file.archives.nldas2.glob(f"*{year}*")).unlink()
    small_archives.write_months(run_file.archives.nldas2, year)


def warm(path: Path, *, plus: float) -> None:
    with netCDF4.Dataset(path, "a") as granule:
        granule["Tair"][:] = granule["Tair"][:] + plus


def values_of(run_file: RunFile, year: int) -> NDArray[np.float32]:
    group = repository.subgroup(root_of(run_file), f"climate/{year}")
    return np.stack([repository.values(group, variable.name) for variable in CLIMATE])


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


class Counting(Serial):
    """Notes what it was given, and ends as a killed process does once it did `last` items."""

    def __init__(self, last: int = 10_000) -> None:
        super().__init__()
        self.done: list[Any] = []
        self.last = last

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Outcome[Any, Any]]:
        for outcome in super().map(function, items):
            if len(self.done) == self.last:
                raise KeyboardInterrupt
            self.done.append(outcome.item)
            yield outcome

    @property
    def months(self) -> list[int]:
        return [item.month.month for item in self.done if isinstance(item, MonthWork)]


def test_an_ingest_that_was_killed_shows_nothing_and_can_be_done_again(copied: RunFile) -> None:
    shutil.rmtree(copied.stores.inputs)
    with pytest.raises(KeyboardInterrupt):
        do(copied, executor=Counting(last=1), products=["gpp"], years=[2011])
    root = repository.read(repository.open_existing(copied.stores.inputs, made_by="test"))
    assert "gpp/2011" in root
    assert not ingested_years(root, "gpp")
    assert not tile_digests(root, "gpp/2011")
    do(copied, products=["gpp"], years=[2011])
    assert len(digests(copied, "gpp/2011")) == len(domain_of(load_region(copied.region)).tiles)


def test_every_absent_file_is_named_and_the_rest_is_ingested(copied: RunFile) -> None:
    shutil.rmtree(copied.stores.inputs)
    shutil.rmtree(copied.archives.slope / "GPP250m/2012")
    report = do(copied)
    assert [(one.group, "SLOPE" in one.reason) for one in report.absent] == [("gpp/2012", True)]
    assert ingested_years(root_of(copied), "gpp") == {2011}
    assert ingested_years(root_of(copied), "climate") == {2011, 2012}


def test_nothing_found_at_all_is_refused_with_every_reason(ingested: RunFile) -> None:
    with pytest.raises(UserError) as error:
        plan_ingest(ingested, years=[2013], products=["climate", "gpp", "crop"])
    message = str(error.value)
    assert "NLDAS-2" in message
    assert "SLOPE" in message
    assert "2013" in message


def test_what_is_ingested_stays_when_its_archive_is_removed(copied: RunFile) -> None:
    before = {group: digests(copied, group) for group in ("gpp/2012", "soil", "climate/2011")}
    for folder in (copied.archives.slope, copied.archives.soil, copied.archives.nldas2):
        shutil.rmtree(folder)
    report = do(copied)
    states = {row.wanted.group: row.state for row in report.rows}
    assert states == {
        "climate/2011": "kept", "climate/2012": "kept", "gpp/2011": "kept", "gpp/2012": "kept",
        "crop/2011": "unchanged", "crop/2012": "unchanged", "soil": "kept",
    }  # fmt: skip
    assert {group: digests(copied, group) for group in before} == before


def test_years_before_the_region_and_unknown_products_are_refused(ingested: RunFile) -> None:
    with pytest.raises(UserError, match="1999 is before region small begins, 2011; 'npp' is not one of the products"):
        plan_ingest(ingested, years=[1999], products=["npp"])


def test_a_store_of_another_grid_is_refused_with_the_difference(copied: RunFile) -> None:
    region = Path(copied.region)
    region.write_text(region.read_text().replace("tile_cells = 8", "tile_cells = 16"))
    with pytest.raises(UserError, match=r"inputs of another region: grid is .*'tile_cells': 8.* there and .* here"):
        plan_ingest(copied)


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


def test_granules_of_a_later_year_leave_earlier_ones_alone(copied: RunFile) -> None:
    small_archives.write_granules(copied.archives.nldas2, 2014)
    assert not plan_ingest(copied, products=["climate"]).todo


def test_an_ingest_that_was_killed_goes_on_with_the_next_month(copied: RunFile) -> None:
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


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the cluster's sockets and ports
def test_dask_gives_what_serial_gives(copied: RunFile) -> None:
    groups = [wanted.group for wanted in plan_ingest(copied).product_years]
    expected = {group: digests(copied, group) for group in groups}
    shutil.rmtree(copied.stores.inputs)
    with open_executor(ExecutionSettings(scheduler="local", workers=2)) as executor:
        do(copied, executor=executor)
    assert {group: digests(copied, group) for group in groups} == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the cluster's sockets
def test_a_damaged_file_is_named_by_dask_too(copied: RunFile) -> None:
    path = rewrite(copied, plus=5)
    path.write_bytes(path.read_bytes()[:300])
    with open_executor(ExecutionSettings(scheduler="local", workers=1)) as executor:
        failure = failure_of(copied, executor=executor, products=["gpp"])
    assert failure.startswith("gpp/2011: ")
    assert path.name in failure


def test_xarray_opens_the_store_with_units_times_and_projection(ingested: RunFile) -> None:
    session = repository.open_existing(ingested.stores.inputs, made_by="test").readonly_session("main")
    gpp = xr.open_zarr(session.store, group="gpp/2012", consolidated=False)
    assert gpp["gpp"].attrs["units"] == "g m-2 d-1"
    assert gpp["time"].size == 366
    assert "grid_mapping_name" in gpp["spatial_ref"].attrs
    climate = xr.open_zarr(session.store, group="climate/2011", consolidated=False)
    wind = climate["wind"].sel(lat=39.94, lon=-89.56, method="nearest")
    np.testing.assert_allclose(wind, 5 * 86.4, rtol=1e-6)  # 3 and -4 m s-1
    assert climate["lat"].attrs["standard_name"] == "latitude"


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(96, 104)), min_size=1), st.sampled_from([48, 240, 4800]))
def test_strips_hold_every_tile_once_and_are_unbroken(places: set[tuple[int, int]], edge: int) -> None:
    tiles = [Tile.holding(row * edge, col * 48 // edge * edge, cells=edge) for row, col in places]
    tiles = sorted(set(tiles))
    found = list(strips(tiles))
    assert sorted(tile for strip in found for tile in strip) == tiles
    for strip in found:
        first = strip[0]
        assert [tile.first_col for tile in strip] == [first.first_col + edge * n for n in range(len(strip))]
        assert {(tile.modis, tile.first_row) for tile in strip} == {(first.modis, first.first_row)}
        assert len(strip) == 1 or len(strip) * edge**2 <= STRIP_CELLS


def test_a_strip_does_not_cross_modis_tiles() -> None:
    grid = Grid(0, MODIS_TILE_CELLS - 96, 48, 192, 48)
    assert [len(strip) for strip in strips(list(grid.tiles()))] == [2, 2]
