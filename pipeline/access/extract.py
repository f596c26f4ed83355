"""Series of points and fields as tables in long form: one row per polygon and day, or per polygon and year."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from pipeline.access.dataset import RECO, OpenCube
from pipeline.access.points import cell_at, cell_shares, parse_point
from pipeline.access.series import PolygonSeries
from pipeline.variables import DAILY, FLUXES

Period: TypeAlias = Literal["annual", "daily"]


def point_series(cube: OpenCube, points: Sequence[str]) -> PolygonSeries:
    """Return the series of the cells at some points (`40.05,-88.37`), which are their labels.

    Raises
    ------
    UserError
        If a text is no point, or its cell is outside the cube or not modelled.
    """
    cells = [cell_at(cube, *parse_point(text), label=text) for text in dict.fromkeys(points)]
    return PolygonSeries(cube, cells, cell_shares)


def series_tables(
    series: PolygonSeries, *, period: Period, years: Sequence[int] | None = None
) -> Iterator[pd.DataFrame]:
    """Yield the table of each year: label, date or year, means over the modelled cells, and two shares of their area.

    Daily tables have ra, rh, nee and reco [g C m-2 d-1], annual ones all fluxes [g C m-2 yr-1]. `valid_share` is the
    share of the modelled area with results, `mixed_share` that in cells which lie only partly inside the polygon.
    """
    areas = series.coverage()
    for year in series.cube.chosen(years):
        yield _daily(series.days(year), areas) if period == "daily" else _annual(series.annual([year]), areas)


def _annual(means: xr.Dataset, areas: xr.Dataset) -> pd.DataFrame:
    (year,) = means["year"].values
    of_cells = means.sel(year=year, cover="cells")
    modelled = areas["modelled_area"].values
    valid = np.divide(of_cells["area"].values, modelled, out=np.full(modelled.size, np.nan), where=modelled > 0)
    return pd.DataFrame(
        {
            "label": _labels(areas, repeats=1),
            "year": np.int32(year),
            **{flux.name: of_cells[flux.name].values for flux in FLUXES},
            "valid_share": valid,
            "mixed_share": areas["mixed_share"].values,
        }
    )


def _daily(means: xr.Dataset, areas: xr.Dataset) -> pd.DataFrame:
    polygons, days = means.sizes["polygon"], means.sizes["time"]
    names = [*(flux.name for flux in DAILY), RECO.name, "valid_share"]
    return pd.DataFrame(
        {
            "label": _labels(areas, repeats=days),
            "date": np.tile(means["time"].values, polygons),
            **{name: means[name].transpose("polygon", "time").values.ravel() for name in names},
            "mixed_share": np.repeat(areas["mixed_share"].values.astype(np.float32), days),
        }
    )


def _labels(areas: xr.Dataset, *, repeats: int) -> pd.Categorical[str]:
    labels = [str(label) for label in areas["polygon"].values]
    return pd.Categorical.from_codes(np.repeat(np.arange(len(labels)), repeats), pd.Index(labels))


def without_cells(series: PolygonSeries) -> str | None:
    """Return a sentence on the polygons without modelled cells; None if there are none."""
    areas = series.coverage()
    empty = areas["polygon"].values[areas["modelled_area"].values == 0]
    if not empty.size:
        return None
    return (
        f"{empty.size} of {areas.sizes['polygon']} polygons hold no modelled cell, and have no values (such as "
        f"{empty[0]})"
    )
