"""Readers of results get the numbers that were computed, or an error that names the place and the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

import agcarbon
from pipeline.access import dataset
from pipeline.access.dataset import OpenCube
from pipeline.access.extract import point_series, series_tables
from pipeline.access.netcdf import Extract, Frequency, write_netcdf
from pipeline.access.zonal import Areas, monthly_zonal_table, zonal_table
from pipeline.aggregate.write import aggregate_cube
from pipeline.cluster.executor import Serial
from pipeline.cube import layout
from pipeline.cube.results import CheckedYear
from pipeline.errors import DamagedError
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.export.year_values import read_year
from pipeline.job import Job
from pipeline.storage import repository
from pipeline.variables import DAILY
from regions import zones
from tests.helpers.commits import transaction
from tests.helpers.damaged_manifests import empty_silently
from tests.helpers.filled_cube import FIRST, fill_cube


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = fill_cube(tmp_path_factory.mktemp("cube")).job
    aggregate_cube(job, Serial())
    return job


@pytest.fixture
def job(filled: Job, tmp_path: Path) -> Job:
    shutil.copytree(filled.path.parent, tmp_path / "copy")
    return Job.open(tmp_path / "copy" / filled.path.name)


def export(job: Job, folder: Path, **chosen: object) -> None:
    selection = Selection(years=(FIRST,), variables=("nee",), **chosen)  # type: ignore[arg-type]
    for reason in export_cogs(job, Serial(), selection, str(folder)).failures.values():
        raise DamagedError(reason)


def opened(job: Job) -> agcarbon.Cube:
    return agcarbon.open(job.stores.cube)


def zonal(job: Job, table: Callable[[OpenCube, Areas], object]) -> None:
    table(OpenCube.at(job.stores.cube), Areas.of_counties(zones(job.region)))


def extracted(job: Job, point: str) -> None:
    list(series_tables(point_series(OpenCube.at(job.stores.cube), [point]), period="daily"))


def netcdf(job: Job, folder: Path, frequency: Frequency) -> None:
    folder.mkdir()
    write_netcdf(OpenCube.at(job.stores.cube), Extract("nee", frequency), str(folder / "nee.nc"), attributes={})


def cell_of(job: Job) -> tuple[float, float]:
    """Latitude and longitude of a modelled cell with results."""
    cube = OpenCube.at(job.stores.cube)
    row, col = np.argwhere(np.isfinite(dataset.annual(cube)["dsoc"].sel(year=FIRST).values))[100]
    longitude, latitude = cube.grid.lonlat()
    return float(latitude[row, col]), float(longitude[row, col])


def fields(job: Job) -> gpd.GeoDataFrame:
    lat, lon = cell_of(job)
    return gpd.GeoDataFrame(geometry=[shapely.box(lon - 0.01, lat - 0.01, lon + 0.01, lat + 0.01)], crs=4326)


def on_degrees(job: Job, folder: Path, *, grid: str, period: str, date: str) -> None:
    export(job, folder, grid=grid, period=period, dates=(date,))


ANNUAL, DAYS = "annual/nee", f"daily/{FIRST}/nee"

READERS: dict[str, tuple[str, Callable[[Job, Path], object], str]] = {
    "annual": ("annual/nee", export, "--from-audit"),
    "month": (
        f"daily/{FIRST}/nee",
        lambda job, to: export(job, to, period="monthly", dates=("2011-07",)),
        "--from-audit",
    ),
    "day": (
        f"daily/{FIRST}/nee",
        lambda job, to: export(job, to, period="daily", dates=("2011-07-15",)),
        "--from-audit",
    ),
    "corn": ("annual/crop", lambda job, to: export(job, to, mask="corn"), "--from-audit"),
    "0.5 degree": ("aggregates/0p5/nee", lambda job, to: export(job, to, grid="0.5"), "aggregate --again"),
    "0.0025 degree": ("aggregates/0p0025/nee", lambda job, to: export(job, to, grid="0.0025"), "aggregate --again"),
    **{
        f"{period} layers on {grid} degree": (
            f"aggregates/{path}/nee",
            partial(on_degrees, grid=grid, period=period, date=date),
            "aggregate --again",
        )
        for grid, period, path, date in (
            ("0.0025", "monthly", "monthly/0p0025", f"{FIRST}-07"),
            ("0.05", "monthly", "monthly/0p05", f"{FIRST}-07"),
            ("0.5", "monthly", "monthly/0p5", f"{FIRST}-07"),
            ("0.5", "daily", f"daily/{FIRST}", f"{FIRST}-07-15"),
        )
    },
    "tables": ("aggregates/bands/counties", lambda job, _: aggregate_cube(job, Serial()), "aggregate --again"),
    "zonal": (ANNUAL, lambda job, _: zonal(job, zonal_table), "--from-audit"),
    "zonal by month": (DAYS, lambda job, _: zonal(job, monthly_zonal_table), "--from-audit"),
    "extract": (DAYS, lambda job, _: extracted(job, "{},{}".format(*cell_of(job))), "--from-audit"),
    "netcdf": (DAYS, lambda job, to: netcdf(job, to, "daily"), "--from-audit"),
    "annual netcdf": (ANNUAL, lambda job, to: netcdf(job, to, "annual"), "--from-audit"),
    "open: a map": (ANNUAL, lambda job, _: opened(job).annual["nee"].load(), "--from-audit"),
    "open: a day": (DAYS, lambda job, _: opened(job).daily["nee"].sel(time=f"{FIRST}-07-15").load(), "--from-audit"),
    "open: Reco": (f"daily/{FIRST}/rh", lambda job, _: opened(job).daily["reco"][0].load(), "--from-audit"),
    "open: a point": (DAYS, lambda job, _: opened(job).point(*cell_of(job)).daily["nee"][:9].load(), "--from-audit"),
    "open: fields": (ANNUAL, lambda job, _: opened(job).fields(fields(job)), "--from-audit"),
    "open: days of fields": (DAYS, lambda job, _: opened(job).fields(fields(job)), "--from-audit"),
    "picture": (f"daily/{FIRST}/nee", lambda job, _: read_year(job, year=FIRST), "--from-audit"),
}


@pytest.mark.filterwarnings("ignore:.* is not complete:UserWarning")
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_results_that_were_changed(job: Job, tmp_path: Path, reader: str) -> None:
    path, read, remedy = READERS[reader]
    read(job, tmp_path / "before")
    with transaction(job.open_cube(), "of another program") as root:
        stored = repository.array(root, path)
        values = np.asarray(stored[...])
        stored[...] = np.where(values == values, values * values.dtype.type(2), values)
    with pytest.raises((DamagedError, ValueError), match=rf"{FIRST}.* has other values than were computed.*{remedy}"):
        read(job, tmp_path / "after")


@pytest.mark.slow
def test_a_manifest_that_leads_to_no_chunk_is_found_by_the_reader_of_a_map(job: Job, tmp_path: Path) -> None:
    empty_silently(job.run_file.stores.cube, f"daily/{FIRST}/nee")
    with pytest.raises(DamagedError, match=rf"tile .*, year {FIRST}: .*--from-audit"):
        export(job, tmp_path, period="monthly")


def test_a_manifest_that_leads_to_no_chunk_is_found_by_the_reader_of_a_series(job: Job) -> None:
    point = "{},{}".format(*cell_of(job))
    empty_silently(job.run_file.stores.cube, DAYS)
    with pytest.raises(DamagedError, match=rf"tile .*, year {FIRST}: daily nee has other values .*--from-audit"):
        extracted(job, point)


def test_days_in_another_order_are_found_where_most_of_a_tile_is_read_and_not_in_a_series(job: Job) -> None:
    with transaction(job.open_cube(), "of another program") as root:
        stored = repository.array(root, DAYS)
        stored[...] = np.asarray(stored[...])[::-1]
    cube = OpenCube.at(job.stores.cube)
    with pytest.raises(DamagedError, match=r"nee from day \d+ has other values than were computed"):
        dataset.daily(cube)["nee"][9].load()
    extracted(job, "{},{}".format(*cell_of(job)))  # compared by its sums alone; see docs/reliability.md


@pytest.mark.parametrize("days", [slice(None), slice(0, 1), slice(60, 62), slice(31, 59), slice(364, 365)])
def test_days_are_those_of_the_array(filled: Job, days: slice) -> None:
    root = repository.read(filled.open_cube())
    results, tile = CheckedYear(root, FIRST), (layout.tiles(root) or ())[0].tile
    mask, window = results.mask(tile), filled.grid.window(tile)
    for flux in DAILY:
        wanted = repository.array(root, f"daily/{FIRST}/{flux.name}")[:, *window][:, mask][days]  # type: ignore[index]
        np.testing.assert_array_equal(results.flux(tile, flux.name, mask, days=days), wanted)
