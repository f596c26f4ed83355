"""Writing the aggregates into the cube, and their tables beside the exports.

    aggregates/0p0025      annual means and areas (year, cover, lat, lon)
    aggregates/0p5         the same on 0.5 degree
    aggregates/daily/YYYY  daily means of the modelled cells on 0.5 degree (time, lat, lon)

A year is aggregated once all its tiles are done, and again when any of them changed; all years of a call are one
commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import icechunk
import numpy as np
import pandas as pd
import xarray as xr
import zarr

from pipeline.aggregate.bands import BandYear, Frame, aggregate_annual, aggregate_daily
from pipeline.aggregate.sums import COVERS, Sums
from pipeline.aggregate.tables import AREA, MISSING_AREA, ROUTES, annual_map, county_table, disagreement, regional_table
from pipeline.cube import layout
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.grid.latlon import LatLonGrid
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.storage import cf, files
from pipeline.storage import repository as store
from pipeline.variables import DAILY, FLUXES
from regions import zones

FINE, COARSE = "aggregates/0p0025", "aggregates/0p5"
_CHUNK = 200  # cells of a chunk's edge: a band of 0.5 degree, so that no chunk is written twice
_LAYERS = (*(replace(flux, dtype="float64") for flux in FLUXES), AREA, MISSING_AREA)


@dataclass(frozen=True)
class AggregateReport:
    """What was aggregated.

    Attributes
    ----------
    done, kept
        Years aggregated now, and those that were up to date.
    incomplete
        Years left out, for they lack tiles, and how many.
    region
        The regional table of all aggregated years.
    disagreement
        Largest relative difference of a regional total by its four routes, over the years done now.
    """

    done: tuple[int, ...]
    kept: tuple[int, ...]
    incomplete: dict[int, int]
    region: pd.DataFrame
    disagreement: float


def tables_location(job: Job) -> str:
    """Where counties.csv and region.csv are."""
    return files.join(job.run_file.stores.exports, "tables")


def aggregate_cube(job: Job, *, years: Sequence[int] | None = None, progress: Progress = silent) -> AggregateReport:
    """Aggregate the years of the cube that are complete and new or changed.

    Parameters
    ----------
    job
        The run file.
    years
        Only these; all that the cube has if None.
    progress
        Told of every band and year.

    Raises
    ------
    UserError
        If there is no cube, another process writes it, or a year in `years` lacks tiles.
    """
    with store.sole_writer(job.run_file.stores.cube):
        repository = job.open_cube()
        root = store.read(repository)
        sources = _sources(Ledger(root)) if "ledger" in root else {}
        wanted = [year for year in sources if years is None or year in years]
        incomplete = {year: sources[year].lacking for year in wanted if sources[year].lacking}
        _refuse_incomplete(years, sources, incomplete)
        before = store.attribute(store.subgroup(root, FINE), "sources") if FINE in root else {}
        complete = [year for year in wanted if year not in incomplete]
        todo = tuple(year for year in complete if before.get(str(year)) != sources[year].digest or _untabled(job, year))
        worst = _aggregate(job, repository, todo, {year: sources[year].digest for year in todo}, progress)
    kept = tuple(year for year in complete if year not in todo)
    return AggregateReport(todo, kept, incomplete, read_region_table(job), worst)


@dataclass(frozen=True)
class _Source:
    """What a year's aggregates are made of: a digest over its tiles' checksums, and the tiles that it lacks."""

    digest: str
    lacking: int


def _sources(known: Ledger) -> dict[int, _Source]:
    has_result = np.asarray(known.column("checksum").any(axis=-1))
    return {
        year: _Source(known.year_digest(year), int(np.sum(~of_year)))
        for year, of_year in zip(known.years, has_result, strict=True)
    }


def _refuse_incomplete(years: Sequence[int] | None, sources: dict[int, _Source], incomplete: dict[int, int]) -> None:
    for year in years or ():
        if year not in sources or year in incomplete:
            lacking = f"{incomplete[year]} tiles" if year in incomplete else "all tiles"
            raise UserError(f"year {year} lacks {lacking} in the cube; complete it with `agcarbon run --years {year}`")


@dataclass(frozen=True)
class _Totals:
    """What is kept of a year's bands: sums over the region by each route, and over each county."""

    routes: Sums
    counties: Sums

    def __add__(self, part: BandYear) -> _Totals:
        return _Totals(self.routes + part.routes, self.counties + part.counties)


def _aggregate(
    job: Job, repository: icechunk.Repository, years: Sequence[int], digests: dict[int, str], progress: Progress
) -> float:
    """Compute and commit the aggregates of these years; return the largest disagreement of a total's routes."""
    if not years:
        return 0.0
    frame = Frame.of(job.domain, zones(job.region))
    session = repository.writable_session(store.BRANCH)
    root = store.writable(session)
    _create(root, frame, first_year=job.region.first_year, last=years[-1])
    annual = xr.open_zarr(session.store, group="annual", consolidated=False, chunks=None)
    bands = sum(1 for _ in frame.bands())
    totals = {year: _Totals(Sums.zero(len(ROUTES)), Sums.zero(len(frame.zones))) for year in years}
    for done, part in enumerate(aggregate_annual(annual, frame, years=years), start=1):
        _write_band(root, frame, part, index=part.year - job.region.first_year)
        totals[part.year] = totals[part.year] + part
        progress("aggregates", done, bands * len(years))
    for done, year in enumerate(years, start=1):
        daily = xr.open_zarr(session.store, group=f"daily/{year}", consolidated=False, chunks=None)
        _write_daily(root, frame, aggregate_daily(daily, frame), year=year)
        progress("daily at 0.5 degree", done, len(years))
    for path in (FINE, COARSE):
        group = store.subgroup(root, path)
        group.attrs["sources"] = {
            **(store.attribute(group, "sources") or {}),
            **{str(y): d for y, d in digests.items()},
        }
    _write_tables(job, frame, totals)
    session.commit(f"aggregates of {', '.join(str(year) for year in years)}")
    return max(disagreement(total.routes) for total in totals.values())


def _create(root: zarr.Group, frame: Frame, *, first_year: int, last: int) -> None:
    """Make the aggregates' arrays, or make them longer."""
    for path, grid in ((FINE, frame.fine), (COARSE, frame.coarse)):
        if path not in root:
            group = root.create_group(path)
            cf.write_latlon(group, lat=grid.lat, lon=grid.lon)
            layout.create_year_axis(group)
            _write_covers(group)
            for variable in _LAYERS:
                chunk = (1, 1, min(_CHUNK, grid.rows), min(_CHUNK, grid.cols))
                cf.create(
                    group, variable, cf.Layout(("year", "cover", "lat", "lon"), (0, len(COVERS), *grid.shape), chunk)
                )
        layout.extend_years(
            store.subgroup(root, path), [variable.name for variable in _LAYERS], first=first_year, last=last
        )


def _write_covers(group: zarr.Group) -> None:
    """Write the coordinate `cover`, by name."""
    array = group.create_array("cover", shape=(len(COVERS),), dtype="string", dimension_names=("cover",))
    array.attrs["long_name"] = "area averaged over: modelled cells whole, or the part under the crop where it is grown"
    array[...] = np.array(COVERS, dtype=np.dtypes.StringDType())


def _write_band(root: zarr.Group, frame: Frame, part: BandYear, *, index: int) -> None:
    fine = part.grid
    pairs: Iterable[tuple[str, Sums, LatLonGrid, LatLonGrid]] = (
        (FINE, part.fine, fine, frame.fine),
        (COARSE, part.coarse, fine.coarsen(frame.fine.per_degree // frame.coarse.per_degree), frame.coarse),
    )
    for path, sums, grid, whole in pairs:
        rows, cols = whole.window(grid)
        layers = annual_map(sums, grid, year=part.year)
        for variable in _LAYERS:
            store.array(root, f"{path}/{variable.name}")[index, :, rows, cols] = layers[variable.name].values[0]


def _write_daily(root: zarr.Group, frame: Frame, daily: xr.Dataset, *, year: int) -> None:
    path = f"aggregates/daily/{year}"
    if path not in root:
        group = root.create_group(path)
        cf.write_time(group, year)
        cf.write_latlon(group, lat=frame.coarse.lat, lon=frame.coarse.lon)
        shape = (cf.days_in_year(year), *frame.coarse.shape)
        for variable in (*DAILY, AREA):
            cf.create(group, replace(variable, dtype="float64"), cf.Layout(("time", "lat", "lon"), shape, shape))
    for variable in (*DAILY, AREA):
        store.array(root, f"{path}/{variable.name}")[...] = daily[variable.name].values


def _write_tables(job: Job, frame: Frame, totals: dict[int, _Totals]) -> None:
    """Replace these years in the county and the regional table."""
    new = {
        "counties": [county_table(total.counties, frame.zones, year=year) for year, total in totals.items()],
        "region": [regional_table(total.routes, year=year) for year, total in totals.items()],
    }
    for name, tables in new.items():
        others = [table[~table["year"].isin(list(totals))] for table in _read_tables(job, name)]
        whole = pd.concat([*others, *tables], ignore_index=True).sort_values("year", kind="stable")
        with files.writing(files.join(tables_location(job), f"{name}.csv")) as path:
            whole.to_csv(path, index=False)


def _read_tables(job: Job, name: str) -> list[pd.DataFrame]:
    content = files.read(files.join(tables_location(job), f"{name}.csv"))
    return [] if content is None else [pd.read_csv(BytesIO(content), dtype={"fips": str})]


def _untabled(job: Job, year: int) -> bool:
    """Say whether a table lacks the year: the exports folder is the user's, and may have been emptied."""
    names = ("counties", "region")
    return any(not any((table["year"] == year).any() for table in _read_tables(job, name)) for name in names)


def read_county_table(job: Job) -> pd.DataFrame:
    """Return the table of counties: one row per county, year and cover; empty before the first aggregate."""
    tables = _read_tables(job, "counties")
    return tables[0] if tables else pd.DataFrame()


def read_region_table(job: Job) -> pd.DataFrame:
    """Return the regional table: one row per year, cover and route; empty before the first aggregate."""
    tables = _read_tables(job, "region")
    return tables[0] if tables else pd.DataFrame()
