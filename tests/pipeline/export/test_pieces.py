"""Half-degree maps of days and months have the totals of the cells that they are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from pipeline.cluster.executor import Serial
from pipeline.export.geotiffs import export_cogs
from pipeline.export.layers import CELLS, GridName, Layer, PeriodName, periods, variables
from pipeline.export.pieces import Source, pieces
from pipeline.export.selection import Selection
from pipeline.grid.coverage import coverage, outlines
from pipeline.run.provenance import read_records
from pipeline.storage import repository
from regions import zones
from tests.helpers.filled_cube import FIRST, Filled

FLUXES = ("ra", "rh", "nee")


def values(filled: Filled, grid: GridName, period: PeriodName, name: str) -> NDArray[np.float64]:
    """Return all maps of a year (L, Y, X), in double precision, as they are read from the cube."""
    root = repository.read(filled.job.open_cube())
    tiles = {FIRST: read_records(filled.job, root, years=(FIRST,)).years[0].tiles}
    source, of = Source(root, grid, tiles), variables(grid, period)[name]
    layers = [Layer(of, each) for each in periods(FIRST, period)]
    found = np.full((len(layers), *source.sheet.shape), np.nan)
    for start in range(0, len(layers), 31):
        for piece in pieces(source, layers[start : start + 31]):
            found[start : start + 31, *piece.place] = piece.values_LBYX[:, 0]
    return found


def area_in_region(filled: Filled) -> NDArray[np.float64]:
    """Return the area of each cell inside the counties (Y, X) [m2]."""
    grid = filled.job.grid
    share = coverage(outlines(zones(filled.job.region)), grid).sum(axis=0).reshape(grid.shape)
    return np.asarray(share * grid.cell_area_m2()[:, None])


@pytest.mark.parametrize("name", FLUXES)
def test_totals_of_days_and_months_on_degrees_are_those_of_the_cells(filled: Filled, name: str) -> None:
    cell = area_in_region(filled)
    root = repository.read(filled.job.open_cube())
    # Straight from the store: none of the export's code.
    daily = repository.values(root, f"daily/{FIRST}/{name}").astype(np.float64)
    of_days = np.nansum(daily * cell, axis=(1, 2))
    months = np.array([date.month for date in (each.first for each in periods(FIRST, "daily"))])
    of_months = np.array([of_days[months == month].sum() for month in range(1, 13)])
    size = np.nansum(np.abs(daily) * cell, axis=(1, 2)).max()  # the fluxes are of both signs, and may nearly cancel
    for grid, period, expected, exact in (
        ("0.5", "daily", of_days, 1e-9),
        ("0.5", "monthly", of_months, 1e-9),
        ("0.05", "monthly", of_months, 1e-9),
        ("0.0025", "monthly", of_months, 1e-6),  # in single precision
    ):
        mean, area = (values(filled, grid, period, each) for each in (name, "area"))
        assert len(mean) == len(expected)
        np.testing.assert_allclose(np.nansum(mean * area, axis=(1, 2)), expected, rtol=exact, atol=exact * size)
    by_cells = np.nansum(values(filled, CELLS, "monthly", name) * cell, axis=(1, 2))
    np.testing.assert_allclose(by_cells, of_months, rtol=1e-6, atol=1e-6 * size)  # sums of cells: single precision


def test_half_degree_days_are_exported_with_their_area(filled: Filled, tmp_path: Path) -> None:
    selection = Selection(
        years=(FIRST,), variables=("nee", "area"), grid="0.5", period="daily", dates=(f"{FIRST}-07", f"{FIRST}-08-01")
    )
    report = export_cogs(filled.job, Serial(), selection, str(tmp_path))
    assert len(report.files) == 2 * 32
    assert not report.failures
    of_days = values(filled, "0.5", "daily", "nee")
    with rasterio.open(tmp_path / f"small_nee_{FIRST}-08-01_0p5.tif") as found:
        np.testing.assert_array_equal(found.read(1), of_days[212].astype(np.float32))
        assert (found.crs.to_epsg(), found.res, found.units) == (4326, (0.5, 0.5), ("g m-2 d-1",))
    with rasterio.open(tmp_path / "small_nee_daily_0p5.vrt") as stack:
        assert (stack.count, stack.crs.to_epsg()) == (32, 4326)
        np.testing.assert_array_equal(stack.read(32), of_days[212].astype(np.float32))
