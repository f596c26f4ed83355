"""Fields that coarse maps misprice: soil carbon change on 250 m and on coarse cells, at a price per tonne."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import shapely

from pipeline.access.series import PolygonSeries
from pipeline.access.zonal import T_CO2E_PER_G
from pipeline.analysis.cells import Floats
from pipeline.analysis.coarse.run import VARIABLES, CoarseMap
from pipeline.analysis.subject import Subject
from pipeline.sources.polygons import read_shapes

_M2_PER_HA = 1e4


def field_table(subject: Subject, coarse: Mapping[str, CoarseMap]) -> pd.DataFrame:
    """Return one row per field and coarse grid: dSOC by both maps, and the difference in t CO2e and in USD per year.

    The coarse value of a field is that of the coarse cell that holds a point on it; its area is that of its modelled
    cells. Differences are coarse - fine: positive is overpaid.

    Raises
    ------
    UserError
        If the file of `Options.fields` cannot be read.
    """
    assert subject.options.fields is not None
    fields = read_shapes(subject.options.fields, label=subject.options.label)
    series = PolygonSeries(subject.cube, fields)
    fine = series.annual(subject.years)["dsoc"].sel(cover="cells").mean("year").to_numpy()
    area_m2 = series.coverage()["modelled_area"].to_numpy()
    points = [shapely.point_on_surface(each.geometry) for each in fields]
    places = np.array([(point.x, point.y) for point in points])
    rows = []
    for step, found in coarse.items():
        value = _at(found, places)
        tonnes = (value - fine) * area_m2 * T_CO2E_PER_G
        rows.append(
            pd.DataFrame(
                {
                    "label": [each.label for each in fields],
                    "degree": step,
                    "area_ha": area_m2 / _M2_PER_HA,
                    "dsoc_fine_g_m2_yr": fine,
                    "dsoc_coarse_g_m2_yr": value,
                    "difference_t_co2e_yr": tonnes,
                    "difference_usd_yr": tonnes * subject.options.price,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def _at(found: CoarseMap, places: Floats) -> Floats:
    """Return dSOC of the coarse cells that hold the places (longitude, latitude); NaN outside."""
    grid = found.grid
    col = np.floor((places[:, 0] + 180) * grid.per_degree).astype(int) - grid.first_col
    row = np.floor((90 - places[:, 1]) * grid.per_degree).astype(int) - grid.first_row
    inside = (row >= 0) & (row < grid.rows) & (col >= 0) & (col < grid.cols)
    values = found.means_VYX[VARIABLES.index("dsoc")]
    out = np.full(len(places), np.nan)
    out[inside] = values[row[inside], col[inside]]
    return out
