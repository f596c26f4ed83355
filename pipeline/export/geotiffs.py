"""Export of the cube's maps: Cloud-Optimized GeoTIFFs, and a STAC catalog of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import zarr

from pipeline.aggregate.layout import sources
from pipeline.cube.history import RELEASE, resolve
from pipeline.errors import UserError
from pipeline.export.cog import write_cog
from pipeline.export.layers import (
    CELLS,
    GROUPS,
    LATLON_MASKS,
    GridName,
    Layer,
    MaskName,
    PeriodName,
    periods,
    read_cells,
    read_latlon,
    variables,
)
from pipeline.export.stac import TAG, write_catalog
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run.provenance import Records, read_records
from pipeline.storage import files as outputs
from pipeline.storage import repository as store
from pipeline.variables import ENSEMBLE_STD
from regions import Region

# Exported unless variables are named, if the grid and period have them.
HEADLINE = ("gpp", "ra", "rh", "reco", "nee", "yield", "dsoc", "crop", "quality")


@dataclass(frozen=True)
class Selection:
    """Maps to export.

    Attributes
    ----------
    years
        Calendar years; all that have results, if empty.
    variables
        Names as in `pipeline.variables`; `HEADLINE`, if empty.
    grid
        The cube's own cells of 250 m, or its aggregates on cells of 0.0025 or 0.5 degree.
    period
        Annual layers, or daily fluxes as sums over months or as single days.
    dates
        Only these months or days, or those of these months or years: 2012-07, 2012-07-15.
    mask
        All cells of the region, those where corn or soybean is grown that year, or those of one crop. On 250 m cells
        the others become nodata; aggregates hold means over the area under the crop instead.
    """

    years: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    grid: GridName = CELLS
    period: PeriodName = "annual"
    dates: tuple[str, ...] = ()
    mask: MaskName = "region"

    def check(self) -> None:
        """Raise `UserError` naming every part of the selection of which no cube has maps."""
        if faults := list(self._faults()):
            raise UserError("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        known = variables(self.grid, self.period)
        if not known:
            yield f"--period {self.period}: cells of {self.grid} degree have annual layers only; give --grid {CELLS}"
        elif unknown := [name for name in self.variables if name not in known]:
            kind = f"{self.period} layers on {self.grid}"
            yield f"--variables {','.join(unknown)}: {kind} are {', '.join(known)}"
        if self.grid != CELLS and self.mask not in LATLON_MASKS:
            yield f"--mask {self.mask}: cells of {self.grid} degree have {', '.join(LATLON_MASKS)}"

    @property
    def qualifiers(self) -> str:
        """Part of a file's name for grid and mask, empty for the default ones."""
        parts = [self.grid.replace(".", "p") if self.grid != CELLS else "", self.mask if self.mask != "region" else ""]
        return "".join(f"_{part}" for part in parts if part)

    def layers(self, year: int) -> list[Layer]:
        """Return the maps of a year; `check` first."""
        known = variables(self.grid, self.period)
        names = self.variables or [name for name in HEADLINE if name in known]
        wanted = [
            period for period in periods(year, self.period) if not self.dates or any(map(period.lies_in, self.dates))
        ]
        return [Layer(known[name], period, self.mask) for period in wanted for name in names]

    def check_dates(self, layers: Iterable[Layer]) -> None:
        """Raise `UserError` naming every date of which there is no layer."""
        there = {layer.period for layer in layers}
        if absent := [date for date in self.dates if not any(period.lies_in(date) for period in there)]:
            raise UserError(
                f"--dates {','.join(absent)}: no such {self.period} in the years exported; write 2012-07 or 2012-07-15"
            )


@dataclass(frozen=True)
class ExportReport:
    """Files written, their total size, the location of the catalog, and notes for whoever uses the maps."""

    files: tuple[str, ...]
    size_bytes: int
    catalog: str
    notes: tuple[str, ...]


def export_cogs(
    job: Job, selection: Selection, folder: str, *, at: str | None = None, progress: Progress = silent
) -> ExportReport:
    """Write one Cloud-Optimized GeoTIFF per variable and period, and the catalog of all files in the folder.

    Parameters
    ----------
    job
        The run file.
    selection
        Maps to export.
    folder
        Folder, or s3://bucket/prefix.
    at
        Release or snapshot of the cube to export; its newest state if None.
    progress
        Called after each file.

    Raises
    ------
    UserError
        If the cube has no results of a year or no aggregates of them, has no such map, or was never in the state `at`.
    """
    selection.check()
    repository = job.open_cube()
    snapshot = resolve(repository, at) if at else store.tip(repository)
    root = store.read(repository, snapshot=snapshot)
    of_cube = {"cube_snapshot": snapshot, "release": (store.attribute(root, RELEASE) or {}).get("name", "none")}
    records = read_records(job, root, years=selection.years, newest=at is None)
    _check_ensemble(root, selection)
    if selection.grid != CELLS:
        _check_aggregated(job, root, selection.grid, records)
    work = [(layer, record) for record in records.years for layer in selection.layers(record.year)]
    selection.check_dates(layer for layer, _ in work)
    files, size_bytes = [], 0
    for layer, record in work:
        name = f"{job.region.name}_{layer.variable.name}_{layer.period.name}{selection.qualifiers}.tif"
        with outputs.writing(outputs.join(folder, name)) as path:
            if selection.grid == CELLS:
                raster = read_cells(root, layer, tiles=record.tiles)
            else:
                raster = read_latlon(root, layer, selection.grid)
            write_cog(path, raster, _tags(job.region, layer, selection, {**of_cube, **record.tags()}))
            size_bytes += path.stat().st_size  # here, since the file may go to a bucket when the block ends
        files.append(outputs.join(folder, name))
        progress("GeoTIFFs", len(files), len(work))
    return ExportReport(tuple(files), size_bytes, write_catalog(folder), tuple(records.notes()))


def _tags(region: Region, layer: Layer, selection: Selection, provenance: Mapping[str, str]) -> dict[str, str]:
    """Return the description and provenance of a layer, from which the catalog is made too."""
    tags = {
        "region": region.name,
        "title": region.title,
        "variable": layer.variable.name,
        "first_day": layer.period.first.isoformat(),
        "last_day": layer.period.last.isoformat(),
        "item": f"{region.name}_{layer.period.name}{selection.qualifiers}",
        "grid": selection.grid,
        "mask": selection.mask,
        **provenance,
    }
    return {f"{TAG}{name}".upper(): value for name, value in tags.items()}


def _check_ensemble(root: zarr.Group, selection: Selection) -> None:
    """Raise `UserError` if standard deviations are to be exported from the cube of a single network."""
    deviations = [variable.name for variable in ENSEMBLE_STD.values() if variable.name in selection.variables]
    if absent := [name for name in deviations if f"annual/{name}" not in root]:
        raise UserError(
            f"--variables {','.join(absent)}: no ensemble has computed this cube; join two or more checkpoints with "
            "`agcarbon checkpoint ensemble` and run the cube with the result"
        )


def _check_aggregated(job: Job, root: zarr.Group, grid: GridName, records: Records) -> None:
    # Computed from the results that the cube holds now: the digest is that of the ledger.
    made_of = sources(root, GROUPS[grid])
    if outdated := [record.year for record in records.years if made_of.get(record.year) != record.digest]:
        years = ", ".join(map(str, outdated))
        raise UserError(
            f"the aggregates on {grid} degree of {years} are absent or older than the results; "
            f"run `agcarbon aggregate {job.path}`"
        )
