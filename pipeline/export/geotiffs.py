"""Maps for other programs: Cloud-Optimized GeoTIFFs of the cube, and a STAC catalog of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import zarr

from pipeline.cube.history import RELEASE, resolve
from pipeline.errors import UserError
from pipeline.export.cog import Raster, write_cog
from pipeline.export.layers import (
    CELLS,
    COVERS,
    GridName,
    Layer,
    MaskName,
    PeriodName,
    aggregated,
    periods,
    read_cells,
    read_latlon,
    variables,
)
from pipeline.export.stac import TAG, write_catalog
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run.provenance import Records, YearRecord, read_records
from pipeline.storage import files as outputs
from pipeline.storage import repository as store
from pipeline.variables import ENSEMBLE_STD

# Written where none are named, as far as the grid and period have them.
HEADLINE = ("gpp", "ra", "rh", "reco", "nee", "yield", "dsoc", "crop", "quality")


@dataclass(frozen=True)
class Selection:
    """What to export.

    Attributes
    ----------
    years
        All that have results, if empty.
    variables
        Names as in `pipeline.variables`; `HEADLINE`, if empty.
    grid
        The cube's own cells of 250 m, or its aggregates on cells of 0.0025 or 0.5 degree.
    period
        Annual layers; of the daily fluxes, sums over months or single days.
    dates
        Only the months or days whose names begin so: 2012-07, 2012-07-15.
    mask
        All cells of the region, those where corn or soybean is grown that year, or one of the two crops. On 250 m
        cells the others become nodata; aggregates hold means over the area under the crop instead.
    """

    years: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    grid: GridName = CELLS
    period: PeriodName = "annual"
    dates: tuple[str, ...] = ()
    mask: MaskName = "region"

    def check(self) -> None:
        """Raise `UserError` naming everything that the cube has no map for."""
        if faults := list(self._faults()):
            raise UserError("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        known = variables(self.grid, self.period)
        if not known:
            yield f"--period {self.period}: cells of {self.grid} degree have annual layers only; give --grid {CELLS}"
        elif unknown := [name for name in self.variables if name not in known]:
            kind = f"{self.period} layers on {self.grid}"
            yield f"--variables {','.join(unknown)}: {kind} are {', '.join(known)}"
        if self.grid != CELLS and self.mask not in COVERS:
            yield f"--mask {self.mask}: cells of {self.grid} degree have {', '.join(COVERS)}"

    @property
    def qualifiers(self) -> str:
        """What a file's name says beside region, variable and period."""
        parts = [self.grid.replace(".", "p") if self.grid != CELLS else "", self.mask if self.mask != "region" else ""]
        return "".join(f"_{part}" for part in parts if part)

    def layers(self, year: int) -> list[Layer]:
        """Return the maps of a year; `check` first."""
        known = variables(self.grid, self.period)
        names = self.variables or [name for name in HEADLINE if name in known]
        wanted = [
            period for period in periods(year, self.period) if not self.dates or period.name.startswith(self.dates)
        ]
        return [Layer(known[name], period, self.mask) for period in wanted for name in names]


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what its user must know."""

    files: tuple[str, ...]
    size_bytes: int
    catalog: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """The cube at one snapshot, and what it is of."""

    job: Job
    snapshot: str
    root: zarr.Group

    def raster(self, layer: Layer, selection: Selection, record: YearRecord) -> Raster:
        """Read a layer and say all there is to say of it."""
        if selection.grid == CELLS:
            found = read_cells(self.root, layer, tiles=record.tiles)
        else:
            found = read_latlon(self.root, layer, selection.grid)
        tags = {
            "region": self.job.region.name,
            "title": self.job.region.title,
            "variable": layer.variable.name,
            "first_day": layer.period.first.isoformat(),
            "last_day": layer.period.last.isoformat(),
            "item": f"{self.job.region.name}_{layer.period.name}{selection.qualifiers}",
            "grid": selection.grid,
            "mask": selection.mask,
            "cube_snapshot": self.snapshot,
            "release": (store.attribute(self.root, RELEASE) or {}).get("name", "none"),
            **record.tags(),
        }
        prefixed = {f"{TAG}{name}".upper(): value for name, value in tags.items()}
        return Raster(found.values, found.transform, found.crs, layer.variable, prefixed)


def export_cogs(
    job: Job, selection: Selection, folder: str, *, at: str | None = None, progress: Progress = silent
) -> ExportReport:
    """Write one Cloud-Optimized GeoTIFF per variable and period, and the catalog of all in the folder or bucket.

    They are of the cube as it is now, or as it was in the release or snapshot `at`.

    Raises
    ------
    UserError
        If the cube has none of a year or of its aggregates, or has no such map, or was never in that state.
    """
    selection.check()
    repository = job.open_cube()
    snapshot = resolve(repository, at) if at else store.tip(repository)
    source = _Source(job, snapshot, store.read(repository, snapshot=snapshot))
    records = read_records(job, source.root, years=selection.years, newest=at is None)
    _check_spreads(source.root, selection)
    if selection.grid != CELLS:
        _check_aggregated(job, source.root, selection.grid, records)
    work = [(layer, record) for record in records.years for layer in selection.layers(record.year)]
    if not work:
        raise UserError(f"--dates {','.join(selection.dates)}: no such {selection.period} in the years chosen")
    files, size_bytes = [], 0
    for layer, record in work:
        name = f"{job.region.name}_{layer.variable.name}_{layer.period.name}{selection.qualifiers}.tif"
        with outputs.writing(outputs.join(folder, name)) as path:
            write_cog(path, source.raster(layer, selection, record))
            size_bytes += path.stat().st_size
        files.append(outputs.join(folder, name))
        progress("GeoTIFFs", len(files), len(work))
    return ExportReport(tuple(files), size_bytes, write_catalog(folder), tuple(records.notes()))


def _check_spreads(root: zarr.Group, selection: Selection) -> None:
    spreads = [spread.name for spread in ENSEMBLE_STD.values() if spread.name in selection.variables]
    if absent := [name for name in spreads if f"annual/{name}" not in root]:
        raise UserError(
            f"--variables {','.join(absent)}: no ensemble has written this cube; join two or more checkpoints with "
            f"`agcarbon checkpoint ensemble` and run it with those"
        )


def _check_aggregated(job: Job, root: zarr.Group, grid: GridName, records: Records) -> None:
    made_of = aggregated(root, grid)
    if lacking := [record.year for record in records.years if made_of.get(record.year) != record.digest]:
        years = ", ".join(map(str, lacking))
        raise UserError(
            f"the aggregates on {grid} degree of {years} are absent or older than the results; "
            f"run `agcarbon aggregate {job.path}`"
        )
