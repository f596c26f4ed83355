"""Layout of the inputs store: analysis-ready inputs of a region in one Icechunk repository.

    climate/YYYY  seven daily series (time, lat, lon) on the region's NLDAS-2 window; digest of each cell
    staging/...   months of climate whose year is not complete yet
    gpp/YYYY      gpp (time, y, x), one shard per tile; days filled (y, x); both at the cells of `cells.CellRule`
    gpp_uncertainty/YYYY  uncertainty of gpp (time, y, x), at the same cells, where configured; read for draws
    soil          nine features and their coverage (y, x)
    crop/YYYY     corn and soybean fraction, share covered (y, x)

GPP and its uncertainty are integers where the archive's files hold integers: int16 in steps of `scale_factor`.

Data, digests and record of a product-year are committed together: a group without the attribute `ingest` is not
ingested, even if it has arrays. Digests cover the arrays as stored, never files, formats or times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from model.features import CLIMATE as CLIMATE_FEATURES
from model.features import FEATURES, Feature
from model.features import SOIL as SOIL_FEATURES
from pipeline.digests import DIGEST_BYTES, content_digest
from pipeline.errors import UserError
from pipeline.grid.domain import Domain, domain_of
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.nldas2.product import CELL_DEGREE, Window
from pipeline.storage import cf, formats
from pipeline.storage import repository as store
from pipeline.storage.commit import Committer
from pipeline.storage.retry import BY_DEFAULT, RetryPolicy, retried
from pipeline.variables import ANNUAL, Variable
from regions import Region

_WINDOW_MARGIN = 1  # NLDAS-2 cells around the region's own, so that an undefined one at its edge has neighbours
_CLIMATE_EDGE = 16  # NLDAS-2 cells of a chunk: a tile reads about 6 x 6 of them, all days

YEARLY = ("climate", "gpp", "crop")
PRODUCTS = (*YEARLY, "soil")

# CF cell methods over the hours of a day.
_CELL_METHODS = {
    "RADN": "time: mean",
    "TMAX_AIR": "time: maximum",
    "TDIF_AIR": "time: range",
    "HMAX_AIR": "time: maximum",
    "HDIF_AIR": "time: range",
    "WIND": "time: mean",
    "PRECN": "time: sum",
}


def _variable(feature: Feature) -> Variable:
    method = _CELL_METHODS.get(feature.name, "")
    return Variable(feature.name.lower(), feature.unit, feature.meaning, cell_methods=method)


CLIMATE = tuple(map(_variable, FEATURES[CLIMATE_FEATURES]))
# Of the integers of GPP and of its counts of days: no value; the counts have none where a cell is not stored.
GPP_MISSING, NOT_STORED = -32768, 65535
FILLED_HOURS = Variable("filled_hours", "1", "missing hours of the month that were filled", dtype="uint16")


def _days(name: str, meaning: str) -> Variable:
    return Variable(name, "1", meaning, dtype="uint16", missing=NOT_STORED)


GPP = (
    Variable("gpp", "g m-2 d-1", "gross primary production, carbon, gaps filled", cell_methods="time: mean area: mean"),
    _days("filled_days", "days interpolated in the growing season"),
    _days("dormant_days", "missing days of the dormant season, set to 0"),
    _days("longest_gap_days", "longest gap in the growing season"),
)
# A product of its own: it can be added later, or not at all, without changing the inputs of runs.
GPP_UNCERTAINTY = (
    Variable("gpp_uncertainty", "g m-2 d-1", "uncertainty of gross primary production, carbon, as released, gaps kept"),
    _days("uncertainty_days", "days with an uncertainty"),
)
SOIL_MEANS = tuple(map(_variable, FEATURES[SOIL_FEATURES]))
SOIL = (
    *SOIL_MEANS,
    Variable("soil_coverage", "1", "share of the cell with soil data"),
    Variable("soc_stock", "g m-2", "soil organic carbon, 0-30 cm, without rock fragments"),
    Variable("soil_depth", "cm", "depth with data, of 0-30 cm"),
    Variable("soil_percent", "%", "percentage of map unit components with data; 100 for products without components"),
    Variable("soc_stock_200", "g m-2", "soil organic carbon, 0-200 cm, without rock fragments"),
    Variable("soc_depth_200", "cm", "depth that soc_stock_200 is the carbon of, of 0-200 cm"),
)
CROP = (
    *(variable for variable in ANNUAL if variable.name in ("corn_fraction", "soybean_fraction")),
    Variable("covered", "1", "share of the cell that the crop layer covers"),
    Variable(
        "crop_layer", "1", "layer of the crops: 1 Cropland Data Layer, 2 Corn-Soy Data Layer, 0 none", dtype="uint8"
    ),
)
ON_GRID = {"gpp": GPP, "gpp_uncertainty": GPP_UNCERTAINTY, "soil": SOIL, "crop": CROP}
# The variable of a product of GPP that tells by `NOT_STORED` which cells are stored.
STORED_CELLS = {"gpp": "filled_days", "gpp_uncertainty": "uncertainty_days"}
# Variables of a gridded product that the network or the quality layer reads: only these enter the digests of its tiles.
READ = {
    "gpp": ("gpp", "filled_days"),
    "gpp_uncertainty": ("gpp_uncertainty",),
    "soil": (*(variable.name for variable in SOIL_MEANS), "soil_coverage"),
    "crop": ("corn_fraction", "soybean_fraction"),
}
# The variable whose range stands for the product in reports.
LEADING = {
    "climate": CLIMATE[1],
    "gpp": GPP[0],
    "gpp_uncertainty": GPP_UNCERTAINTY[0],
    "soil": SOIL_MEANS[6],
    "crop": CROP[0],
}

_SOURCES = {
    "climate": "NLDAS-2 forcing, File A, doi:10.5067/THUF4J1RLSYG",
    "gpp": "SLOPE daily GPP, doi:10.3334/ORNLDAAC/1786",
    "gpp_uncertainty": "SLOPE daily GPP, doi:10.3334/ORNLDAAC/1786",
    "soil": "soil survey or soil map, mean of 0-30 cm; product and methods in the attribute `ingest`",
    "crop": "Cropland Data Layer, USDA-NASS, or Corn-Soy Data Layer, by state and year: attribute `ingest`",
}


@dataclass(frozen=True)
class Extent:
    """Extent of a store: the region's grid and its window of NLDAS-2 cells. Another one needs another store."""

    region: str
    grid: Grid
    window: Window

    @classmethod
    def of(cls, region: Region) -> Extent:
        """Return the grid and the NLDAS-2 window of a region's inputs store."""
        domain = domain_of(region)
        return cls(region.name, domain.grid, _window(domain))

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def parse(cls, raw: Any) -> Extent:
        """Return the extent that `as_json` wrote."""
        return cls(raw["region"], Grid(**raw["grid"]), Window(**raw["window"]))


def _window(domain: Domain) -> Window:
    """Return the NLDAS-2 cells that the tiles read: longitude and latitude are extreme at their corner cells."""
    corners = np.ix_([0, -1], [0, -1])
    places = np.array([[axis[corners] for axis in domain.grid.of(tile).lonlat()] for tile in domain.tiles])
    longitude, latitude = places.swapaxes(0, 1).reshape(2, -1)
    # On the sinusoidal grid, longitude depends on the row too, so that all four corners of each tile are needed.
    return Window.around(longitude, latitude, margin=_WINDOW_MARGIN)


@dataclass(frozen=True)
class Record:
    """Provenance of a product-year: its source files, counts, and the range of its leading variable.

    Attributes
    ----------
    files, size_bytes
        Source files.
    stamp
        Digest of the names, sizes and times of these files and of the settings they were read with.
    cells, missing
        Cells of the product-year that are stored, and those without data.
    minimum, maximum
        Range of the product's leading variable, in its units; None where all is missing.
    counts
        Further numbers by name, such as days filled.
    digest
        Digest of the content.
    notes
        Provenance beyond the files, by topic: layer of each state, methods.
    """

    files: int
    size_bytes: int
    stamp: str
    cells: int
    missing: int
    minimum: float | None
    maximum: float | None
    counts: dict[str, int]
    digest: str
    notes: dict[str, str]

    @property
    def missing_share(self) -> float:
        """Share of the cells that have no data."""
        return self.missing / self.cells if self.cells else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Record:
        """Return the record that `as_json` wrote."""
        return cls(**raw)


def group_name(product: str, year: int | None) -> str:
    """Return the name of the group of a product-year.

    Examples
    --------
    >>> group_name("gpp", 2012), group_name("soil", None)
    ('gpp/2012', 'soil')
    """
    return product if year is None else f"{product}/{year}"


def open_for_writing(
    location: str,
    extent: Extent,
    *,
    policy: RetryPolicy = BY_DEFAULT,
    still_held: Callable[[], None] = lambda: None,
) -> Committer:
    """Return the committer of the inputs store of `extent`, created where there is none.

    Parameters
    ----------
    location, extent
        Folder or s3://bucket/prefix of the store, and the region's grid and NLDAS-2 window.
    policy
        Retries of transient errors.
    still_held
        From `sole_writer`: raises `UserError` once another process may have taken the store over.

    Raises
    ------
    UserError
        If a store of another extent, or something else, is there.
    """
    if not retried(lambda: store.exists(location), policy):
        committer = Committer(store.create(location), location, policy, still_held)
        committer.commit("create inputs store", partial(create, extent=extent))
        return committer

    def opened() -> Committer:
        repository = store.open_existing(location, made_by="agcarbon ingest")
        check_extent(store.read(repository), extent, location=location)
        return Committer(repository, location, policy, still_held)

    return retried(opened, policy)


def create(root: zarr.Group, extent: Extent) -> None:
    """Write the structure of a store without product-years."""
    formats.describe(root, "inputs", title=f"Inputs of KGML-ag-Carbon: {extent.region}")
    root.attrs.update({"Conventions": cf.CONVENTIONS, "extent": extent.as_json()})


def read_extent(root: zarr.Group) -> Extent:
    """Return the extent of a store; raises `UserError` if it is no inputs store of a readable format."""
    formats.check(root, "inputs")
    return Extent.parse(store.attribute(root, "extent"))


def check_extent(root: zarr.Group, wanted: Extent, *, location: str) -> None:
    """Raise `UserError` naming every difference between the extent of the store and the required one."""
    there, here = read_extent(root).as_json(), wanted.as_json()
    different = [f"{key} is {there[key]} there and {here[key]} here" for key in there if there[key] != here[key]]
    if different:
        raise UserError(
            f"{location}: inputs of another region: {'; '.join(different)}; choose another store for this one"
        )


def read_record(root: zarr.Group, group: str) -> Record | None:
    """Return the record of the product-year in this group, or None if it is not ingested."""
    raw = _attribute(root, group, "ingest")
    return None if raw is None else Record.parse(raw)


def tile_digests(root: zarr.Group, group: str) -> dict[str, str]:
    """Return the content digests of a gridded product-year by name of tile; none before it is ingested."""
    return _attribute(root, group, "digests") or {}


def tile_digest(product: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the digest of a tile of a gridded product, of the arrays that a run reads, as they are stored."""
    return content_digest(*(arrays[name] for name in READ[product]))


def cell_digests(climate_FTYX: NDArray[np.float32], undefined_YX: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the digest (rows, cols, 16) of each cell's series; zeros where the cell is undefined.

    A tile reads about 6 x 6 of the window's cells: with a digest for each, a change elsewhere leaves its results valid.
    """
    digests = np.zeros((*undefined_YX.shape, DIGEST_BYTES), np.uint8)
    for row, col in np.argwhere(~undefined_YX):
        digests[row, col] = np.frombuffer(bytes.fromhex(content_digest(climate_FTYX[:, :, row, col])), np.uint8)
    return digests


def year_digests(digests_YXB: NDArray[np.uint8]) -> dict[str, str]:
    """Return the digests of a year of climate by name: one of all cells, which decides whether the year changed."""
    return {"cells": content_digest(digests_YXB)}


def _attribute(root: zarr.Group, group: str, name: str) -> Any:
    return store.attribute(store.subgroup(root, group), name) if group in root else None


def ingested_years(root: zarr.Group, product: str) -> frozenset[int]:
    """Return the years of `climate`, `gpp` or `crop` that are ingested."""
    years = [int(name) for name in store.subgroup(root, product).group_keys()] if product in root else []
    return frozenset(year for year in years if read_record(root, group_name(product, year)))


def create_group(root: zarr.Group, product: str, year: int | None, *, scale: float | None = None) -> None:
    """Make the empty arrays of a product-year unless they are there.

    Parameters
    ----------
    scale
        Step of GPP or its uncertainty, to be stored as int16; None: stored as float32. An array of the other kind is
        replaced, with its group.
    """
    name = group_name(product, year)
    if name in root:
        if product not in STORED_CELLS or (store.array(root, f"{name}/{product}").dtype == np.int16) == (
            scale is not None
        ):
            return
        del root[name]
    extent = read_extent(root)
    group = root.create_group(name)
    group.attrs.update({"Conventions": cf.CONVENTIONS, "source": _SOURCES[product]})
    if product == "climate":
        assert year is not None
        _create_climate(group, extent.window, year)
        return
    cf.write_yx(group, extent.grid)
    maps = list(ON_GRID[product])  # of GPP and its uncertainty, the first variable is daily
    if product in STORED_CELLS:
        assert year is not None
        cf.write_time(group, year)
        daily = maps.pop(0)
        if scale is not None:
            daily = replace(daily, dtype="int16", scale=scale, missing=GPP_MISSING)
        cf.create(group, daily, cf.Layout.daily(extent.grid, year))
    for variable in maps:
        cf.create(group, variable, cf.Layout.map(extent.grid))


def _create_climate(group: zarr.Group, window: Window, year: int) -> None:
    cf.write_time(group, year)
    cf.write_latlon(group, lat=window.latitudes, lon=window.longitudes, step=CELL_DEGREE)
    shape = (window.rows, window.cols)
    edges = tuple(min(edge, _CLIMATE_EDGE) for edge in shape)
    days = cf.days_in_year(year)
    for variable in CLIMATE:
        cf.create(group, variable, cf.Layout(("time", "lat", "lon"), (days, *shape), (days, *edges)))
    cf.create(group, FILLED_HOURS, cf.Layout(("month", "lat", "lon"), (12, *shape), (12, *shape)))
    digests = Variable("digest", "1", "digest of the cell's seven series; zeros where undefined", dtype="uint8")
    cf.create(group, digests, cf.Layout(("lat", "lon", "byte"), (*shape, DIGEST_BYTES), (*shape, DIGEST_BYTES)))


def complete(group: zarr.Group, record: Record, digests: Mapping[str, str]) -> None:
    """Mark a product-year as ingested, with its record and the digests of its parts by name."""
    # The last write of an ingest into the group: `read_record` takes this attribute for "ingested".
    group.attrs.update({"digests": dict(digests), "ingest": record.as_json()})
