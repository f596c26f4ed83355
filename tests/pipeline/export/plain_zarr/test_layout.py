"""The structure of a store of several levels: places, years and areas of all groups, without any values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from pipeline.export.plain_zarr.layout import ZarrCube
from pipeline.grid.sinusoidal import Grid
from pipeline.variables import ANNUAL, ENSEMBLE_STD

GRID = Grid(first_row=23760, first_col=55680, rows=3 * 5, cols=5 * 5, tile_cells=5)  # an odd number of cells
YEARS, LEVELS = (2011, 2012, 2013), (1, 2, 4, 8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("structure")
    cube = ZarrCube(GRID, YEARS, (*ANNUAL, ENSEMBLE_STD["nee"]), (2012,))
    for key, content in cube.documents({"title": "A cube"}).items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def centres(edges_m: np.ndarray, factor: int) -> np.ndarray:
    """Centres of pixels of some cells from the edges of the cells; the last pixel may reach beyond them."""
    size = edges_m[1] - edges_m[0]
    count = -(-(len(edges_m) - 1) // factor)
    return np.array([edges_m[0] + size * factor * (number + 0.5) for number in range(count)])


def test_pixels_of_every_level_lie_where_their_cells_lie(written: Path) -> None:
    described = zarr.open_group(written, mode="r").attrs["multiscales"]["layout"]
    assert [level["asset"] for level in described] == ["annual", *(f"overviews/{factor}" for factor in LEVELS[1:])]
    for level, factor in zip(described, LEVELS, strict=True):
        opened = xr.open_zarr(written, group=level["asset"], consolidated=True)
        np.testing.assert_allclose(opened["x"], centres(GRID.x_edges_m, factor), rtol=1e-12)
        np.testing.assert_allclose(opened["y"], centres(GRID.y_edges_m, factor), rtol=1e-12)
        assert opened["nee"].shape == (len(YEARS), opened.sizes["y"], opened.sizes["x"])
        assert level["transform"] == {"scale": [float(factor)] * 2, "translation": [0.0, 0.0]}
        assert level["spatial:shape"] == list(opened["nee"].shape[1:])
        a, _, c, _, e, f = level["spatial:transform"]
        half = factor * GRID.transform.a / 2
        assert (a, e) == pytest.approx((2 * half, -2 * half), rel=1e-12)
        assert (c, f) == pytest.approx((float(opened["x"][0]) - half, float(opened["y"][0]) + half), rel=1e-12)
        assert opened.attrs["title"] == "A cube"


def test_years_and_areas_of_the_cells_are_theirs(written: Path) -> None:
    annual = xr.open_zarr(written, group="annual")
    np.testing.assert_array_equal(annual["cell_area"], GRID.cell_area_m2())
    for group in ("annual", "overviews/2", "overviews/8"):
        assert xr.open_zarr(written, group=group)["year"].values.tolist() == list(YEARS)
    days = xr.open_zarr(written, group="daily/2012")["time"].values.astype("datetime64[D]")
    assert (str(days[0]), str(days[-1]), days.size) == ("2012-01-01", "2012-12-31", 366)


def test_overviews_have_no_flags_and_no_deviations(written: Path) -> None:
    """Neither has a mean over cells: that of a standard deviation is not the one of the mean."""
    cells, coarse = (set(xr.open_zarr(written, group=group)) for group in ("annual", "overviews/4"))
    assert cells - coarse == {"quality", "nee_spread", "mask", "cell_area"}
    assert coarse - cells == {"area"}
