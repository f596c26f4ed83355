"""Creation of the arrays that aggregates are written into; see `pipeline.aggregate.layout`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import zarr

from model.arrays import MONTHS
from pipeline.aggregate import layout
from pipeline.aggregate.frame import FINE_IN_COARSE, FINE_IN_MIDDLE, Frame
from pipeline.aggregate.layout import (
    ANNUAL_LAYERS,
    BANDS,
    COARSE,
    DAILY_LAYERS,
    FINE,
    MIDDLE,
    MONTHLY_COARSE,
    MONTHLY_FINE,
    MONTHLY_LAYERS,
    MONTHLY_MIDDLE,
    MONTHLY_SPREADS,
    SPREADS,
)
from pipeline.aggregate.sums import AREA_TYPES
from pipeline.aggregate.tables import ROUTES
from pipeline.cube import attributes, members
from pipeline.cube import layout as cube
from pipeline.cube.parts import PART_BYTES
from pipeline.digests import DIGEST_BYTES
from pipeline.grid.latlon import LatLonGrid
from pipeline.storage import cf
from pipeline.storage.repository import subgroup
from pipeline.variables import Variable

_SUMMED = "sums of areas [m2] and of area x flux [g yr-1], in the order of the attribute `layers`"
_COUNTIES = Variable("counties", "1", f"{_SUMMED}, over the part of each county in the band", dtype="float64")
_ROUTES = Variable("routes", "1", f"{_SUMMED}, over the band by each route", dtype="float64")
_MONTHLY_COUNTIES = Variable(
    "monthly_counties",
    "1",
    "area with results all month [m2], and area x sum over the month [g], in the order of the attribute "
    "`monthly_layers`; members less their mean; over the part of each county",
    dtype="float64",
)
_DIGESTS = Variable("digests", "1", "digests of the band's parts of annual maps and sums", dtype="uint8")
_MADE_OF = Variable("made_of", "1", "digest of the results that the band was computed from", dtype="uint8")
_OF_BANDS = (_COUNTIES, _ROUTES, _MONTHLY_COUNTIES, _MADE_OF, _DIGESTS)
_CHUNK = FINE_IN_COARSE  # fine cells of a chunk's edge: the least height of a band, the width of a block


def make_room(root: zarr.Group, frame: Frame, years: Sequence[int], *, anew: bool = False) -> None:
    """Create the arrays of these years, or lengthen them; write nothing where they are long enough.

    With `anew` existing arrays are deleted: nothing can be written into one whose manifest is damaged. All groups of
    the cube obtain the attributes that an earlier release did not write.
    """
    if "aggregates" in root and anew:
        del root["aggregates"]
    _make_arrays(root, frame, years)
    attributes.complete(root)
    model = attributes.like(root)
    _make_arrays(model, frame, [cube.identity(root).first_year])
    maps = {path: path for path in (*layout.MAPS, *layout.MONTHLY_MAPS)}
    attributes.complete_groups(root, model, maps | dict(attributes.daily_counterparts(root, "aggregates/daily")))


def _make_arrays(root: zarr.Group, frame: Frame, years: Sequence[int]) -> None:
    first_year = cube.identity(root).first_year
    of_ensemble = (tuple(SPREADS.values()), MONTHLY_SPREADS) if members.count(root) else ((), ())
    annual, of_months = (*ANNUAL_LAYERS, *of_ensemble[0]), (*MONTHLY_LAYERS, *of_ensemble[1])
    names, monthly = ([variable.name for variable in layers] for layers in (annual, of_months))
    create_map, create_months = partial(_create_annual, layers=annual), partial(_create_monthly, layers=of_months)
    middle = (FINE_IN_COARSE // FINE_IN_MIDDLE, frame.middle.cols)  # the least height of a band
    for path, create, of in (
        # One year and area type in a chunk, since readers want one map; all types in a shard, as they are written. On
        # 0.05 and 0.5 degree, whose maps are small, all types in a chunk.
        (FINE, partial(create_map, grid=frame.fine, chunk=(1, _CHUNK, _CHUNK)), names),
        (COARSE, partial(create_map, grid=frame.coarse, chunk=(len(AREA_TYPES), 1, frame.coarse.cols)), names),
        (MIDDLE, partial(create_map, grid=frame.middle, chunk=(len(AREA_TYPES), *middle)), names),
        (MONTHLY_FINE, partial(create_months, grid=frame.fine, chunk=(1, _CHUNK, _CHUNK)), monthly),
        (MONTHLY_MIDDLE, partial(create_months, grid=frame.middle, chunk=(MONTHS, *middle)), monthly),
        (MONTHLY_COARSE, partial(create_months, grid=frame.coarse, chunk=(MONTHS, 1, frame.coarse.cols)), monthly),
        (
            BANDS,
            partial(_create_bands, frame=frame, structure=layout.structure(root)),
            [variable.name for variable in _OF_BANDS],
        ),
    ):
        if path not in root:
            create(root.create_group(path))
        # From the cube's first year on, so that a year has the same index here as in `annual`.
        cube.extend_years(subgroup(root, path), of, first=first_year, last=max(years))
    for year in years:
        if layout.daily_path(year) not in root:
            _create_daily(root.create_group(layout.daily_path(year)), frame.coarse, year)


def _create_annual(
    group: zarr.Group, *, grid: LatLonGrid, chunk: tuple[int, int, int], layers: Sequence[Variable]
) -> None:
    cf.write_latlon(group, lat=grid.lat, lon=grid.lon, step=1 / grid.per_degree)
    cube.create_year_axis(group)
    names = group.create_array("cover", shape=(len(AREA_TYPES),), dtype="string", dimension_names=("cover",))
    names.attrs["long_name"] = (
        "area averaged over: modelled cells in full, or the part under the crop where it is grown"
    )
    # Zarr v3 has a specification for strings of this type only.
    names[...] = np.array(AREA_TYPES, dtype=np.dtypes.StringDType())
    for variable in layers:
        whole = (1, len(AREA_TYPES), *chunk[1:])
        shards = None if whole == (1, *chunk) else whole
        shape = (0, len(AREA_TYPES), *grid.shape)
        cf.create(group, variable, cf.Layout(("year", "cover", "lat", "lon"), shape, (1, *chunk), shards))


def _create_monthly(
    group: zarr.Group, *, grid: LatLonGrid, chunk: tuple[int, int, int], layers: Sequence[Variable]
) -> None:
    cf.write_latlon(group, lat=grid.lat, lon=grid.lon, step=1 / grid.per_degree)
    cube.create_year_axis(group)
    cf.write_months(group)
    # On 0.0025 degree a month in a chunk and a year in a shard, as with area types; most of the aggregates are there.
    whole = (1, MONTHS, *chunk[1:])
    shards, dtype = (None, "float64") if whole == (1, *chunk) else (whole, "float32")
    for variable in layers:
        shape = (0, MONTHS, *grid.shape)
        of_months = cf.Layout(("year", "month", "lat", "lon"), shape, (1, *chunk), shards)
        cf.create(group, replace(variable, dtype=dtype), of_months)


def _create_daily(group: zarr.Group, grid: LatLonGrid, year: int) -> None:
    cf.write_time(group, year)
    cf.write_latlon(group, lat=grid.lat, lon=grid.lon, step=1 / grid.per_degree)
    shape = (cf.days_in_year(year), *grid.shape)
    for variable in DAILY_LAYERS:
        cf.create(group, variable, cf.Layout(("time", "lat", "lon"), shape, (shape[0], 1, shape[2])))


def _create_bands(group: zarr.Group, *, frame: Frame, structure: dict[str, list[str]]) -> None:
    cube.create_year_axis(group)
    group.attrs.update(
        {
            "counties": [zone.fips for zone in frame.zones],
            "covers": list(AREA_TYPES),
            **structure,
            "fine_rows": [
                [rows.start, rows.stop] for rows, _ in (frame.fine.window(band.fine) for band in frame.bands)
            ],
        }
    )
    sums, months = (len(AREA_TYPES), len(structure["layers"])), (len(structure["monthly_layers"]), MONTHS)
    for variable, dims, shape in (
        (_COUNTIES, ("cover", "layer", "county"), (*sums, len(frame.zones))),
        (_ROUTES, ("cover", "layer", "route"), (*sums, len(ROUTES))),
        (_MONTHLY_COUNTIES, ("month_layer", "month", "county"), (*months, len(frame.zones))),
        (_MADE_OF, ("byte",), (DIGEST_BYTES,)),
        (_DIGESTS, ("checked", "part_byte"), (len(layout.CHECKED), PART_BYTES)),
    ):
        of_bands = cf.Layout(("year", "band", *dims), (0, len(frame.bands), *shape), (1, 1, *shape))
        cf.create(group, variable, of_bands)
