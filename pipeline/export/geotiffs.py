"""Export of the cube's maps: Cloud-Optimized GeoTIFFs, and a STAC catalog of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import zarr

from pipeline.aggregate.layout import sources
from pipeline.cluster.executor import Executor, Outcome, until_fatal
from pipeline.cube.history import RELEASE, resolve
from pipeline.errors import UserError
from pipeline.export.attributes import software
from pipeline.export.layers import (
    CELLS,
    CROPS,
    GROUPS,
    LATLON_MASKS,
    GridName,
    Layer,
    MaskName,
    PeriodName,
    periods,
    together,
    variables,
)
from pipeline.export.maps import SNAPSHOT, Context, MapFile, MapsDone, MapTask, write_maps
from pipeline.export.place import FILE, SOFTWARE
from pipeline.export.reproject import NATIVE, CrsName
from pipeline.export.stac import TAG, write_catalog
from pipeline.export.units import UNITS, Unit
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run.provenance import Records, YearRecord, read_records
from pipeline.storage import files as outputs
from pipeline.storage import repository as store
from pipeline.storage.retry import RetryPolicy
from pipeline.variables import ENSEMBLE_STD, Variable
from regions import Region

log = logging.getLogger(__name__)

# Exported unless variables are named, if the grid and period have them.
HEADLINE = ("gpp", "ra", "rh", "reco", "nee", "yield", "dsoc", "crop", "quality")
_DEVIATIONS = tuple(variable.name for variable in ENSEMBLE_STD.values())


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
    at
        Release or snapshot of the cube; its newest state if None.
    units
        Names of `pipeline.export.units.UNITS`: the variables for which these are meant are written in them, each in a
        file of its own name, all others in g C m-2.
    crs
        Projection of 250 m cells: their own, or pixels of `pipeline.export.reproject.PIXEL` in another one.
    """

    years: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    grid: GridName = CELLS
    period: PeriodName = "annual"
    dates: tuple[str, ...] = ()
    mask: MaskName = "region"
    at: str | None = None
    units: tuple[str, ...] = ()
    crs: CrsName = NATIVE

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

        if self.crs != NATIVE and self.grid != CELLS:
            yield f"--crs {self.crs}: cells of {self.grid} degree are in EPSG:4326 and stay there; give --grid {CELLS}"
        elif self.crs != NATIVE and (deviations := [name for name in self.variables if name in _DEVIATIONS]):
            yield f"--crs {self.crs}: a standard deviation of a mean over cells is unknown; leave out {deviations[0]}"
        yield from self._faults_of_units(known)

    def _faults_of_units(self, known: Mapping[str, Variable]) -> Iterator[str]:
        exported = self._names(known)
        for name in self.units:
            if not (unit := UNITS.get(name)):
                yield f"--units {name}: units are {', '.join(UNITS)}; without --units, all values are in g C m-2"
            elif unit.variable not in exported:
                yield f"--units {name}: it is a unit of {unit.variable}, which is not among {', '.join(exported)}"
            elif unit.needs_crop and self.grid != CELLS and self.mask not in CROPS:
                yield f"--units {name}: a mean over both crops has no such unit; give --mask {' or '.join(CROPS)}"

    def _names(self, known: Mapping[str, Variable]) -> Sequence[str]:
        return self.variables or [name for name in HEADLINE if name in known]

    @property
    def qualifiers(self) -> str:
        """Part of a file's name for grid, projection and mask, empty for the default ones."""
        parts = [
            self.grid.replace(".", "p") if self.grid != CELLS else "",
            self.crs.replace(":", "").lower() if self.crs != NATIVE else "",
            self.mask if self.mask != "region" else "",
        ]
        return "".join(f"_{part}" for part in parts if part)

    def layers(self, year: int) -> list[Layer]:
        """Return the maps of a year; `check` first."""
        known = variables(self.grid, self.period)
        wanted = [
            period for period in periods(year, self.period) if not self.dates or any(map(period.lies_in, self.dates))
        ]
        stated = [(known[name], unit) for name in self._names(known) for unit in self._units(name)]
        return [Layer(variable, period, self.mask, unit) for period in wanted for variable, unit in stated]

    def _units(self, variable: str) -> Sequence[Unit | None]:
        return [UNITS[name] for name in self.units if UNITS[name].variable == variable] or [None]

    def check_dates(self, layers: Iterable[Layer]) -> None:
        """Raise `UserError` naming every date of which there is no layer."""
        there = {layer.period for layer in layers}
        if absent := [date for date in self.dates if not any(period.lies_in(date) for period in there)]:
            raise UserError(
                f"--dates {','.join(absent)}: no such {self.period} in the years exported; write 2012-07 or 2012-07-15"
            )


@dataclass(frozen=True)
class ExportReport:
    """Result of an export.

    Attributes
    ----------
    files
        Locations of the files that are there now, written or kept.
    kept
        Number of those that were there before, with the same content.
    size_bytes
        Total size of the files that were written.
    catalog
        Location of the catalog.
    notes
        Deficiencies that whoever uses the maps must know.
    failures
        Maps that could not be written, with the reasons.
    stopped
        Whether the export ended early, because a stop was requested.
    """

    files: tuple[str, ...]
    kept: int
    size_bytes: int
    catalog: str
    notes: tuple[str, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    stopped: bool = False


def export_cogs(
    job: Job, executor: Executor, selection: Selection, folder: str, *, progress: Progress = silent
) -> ExportReport:
    """Write one Cloud-Optimized GeoTIFF per variable and period, and the catalog of all files in the folder.

    Files that are there with the same content are kept, so that a killed export resumes with the files that are not.

    Parameters
    ----------
    job
        The run file.
    executor
        Writes the files.
    selection
        Maps to export.
    folder
        Folder, or s3://bucket/prefix.
    progress
        Called with the number of files after each task.

    Raises
    ------
    UserError
        If the cube has no results of a year or no aggregates of them, has no such map, or was never in the chosen
        state; or if nothing more can be written into the folder.
    """
    selection.check()
    repository = job.open_cube()
    snapshot = resolve(repository, selection.at) if selection.at else store.tip(repository)
    root = store.read(repository, snapshot=snapshot)
    records = read_records(job, root, years=selection.years, newest=selection.at is None)
    _check_ensemble(root, selection)
    if selection.grid != CELLS:
        _check_aggregated(job, root, selection.grid, records)
    selection.check_dates(layer for record in records.years for layer in selection.layers(record.year))
    of_cube = {SNAPSHOT: snapshot, "release": (store.attribute(root, RELEASE) or {}).get("name", "none")}
    naming = _Naming(job.region, selection, folder, of_cube)
    tasks = [
        MapTask(tuple(naming.file(layer, record) for layer in layers), record.tiles)
        for record in records.years
        for layers in together(root, selection.layers(record.year), selection.period)
    ]
    context = Context(job.stores.cube, snapshot, selection.grid, RetryPolicy(job.execution.retries), selection.crs)
    done = _Done()
    done.run(tasks, executor.map(partial(write_maps, context), tasks), folder, progress)
    catalog = write_catalog(folder, job.publication)
    return ExportReport(
        files=tuple(file.location for task in tasks for file in task.files if file.location in done.sizes),
        kept=sum(size is None for size in done.sizes.values()),
        size_bytes=sum(size or 0 for size in done.sizes.values()),
        catalog=catalog.location,
        notes=(*records.notes(), *catalog.notes()),
        failures=done.failures,
        stopped=executor.stop.asked,
    )


@dataclass
class _Done:
    """Files that are there, with their sizes [bytes], or None if they were kept; and the failures of tasks by name."""

    sizes: dict[str, int | None] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def run(
        self, tasks: Sequence[MapTask], outcomes: Iterable[Outcome[MapTask, MapsDone]], folder: str, progress: Progress
    ) -> None:
        """Take in the outcomes of tasks."""
        total, failed = sum(len(task.files) for task in tasks), 0
        progress("GeoTIFFs", 0, total)
        for outcome in until_fatal(outcomes, folder):
            if outcome.result is None:
                self.failures[outcome.item.name] = outcome.error or "unknown error"
                failed += len(outcome.item.files)
                log.warning("failed: %s: %s", outcome.item.name, outcome.error)
            else:
                self.sizes |= {file.location: outcome.result.written.get(file.location) for file in outcome.item.files}
            progress("GeoTIFFs", len(self.sizes), total, failed)


@dataclass(frozen=True)
class _Naming:
    """Names and metadata of the files of one export; `of_cube` is metadata on the cube's state."""

    region: Region
    selection: Selection
    folder: str
    of_cube: Mapping[str, str]

    def file(self, layer: Layer, record: YearRecord) -> MapFile:
        """Return the file of a layer, with its description and provenance, from which the catalog is made too."""
        region, selection, period = self.region, self.selection, layer.period
        tags = {
            "region": region.name,
            "title": region.title,
            "variable": layer.written.name,
            "first_day": period.first.isoformat(),
            "last_day": period.last.isoformat(),
            "item": f"{region.name}_{period.name}{selection.qualifiers}",
            "grid": selection.grid,
            "mask": selection.mask,
            **self.of_cube,
            "results_digest": record.digest,
            **record.tags(),
        }
        ours = {f"{TAG}{name}".upper(): text for name, text in tags.items()}
        name = f"{region.name}_{layer.written.name}_{period.name}{selection.qualifiers}.tif"
        marks = {"TIFFTAG_SOFTWARE": software(), SOFTWARE: software(), FILE: name}
        return MapFile(layer, outputs.join(self.folder, name), {**marks, **ours})


def _check_ensemble(root: zarr.Group, selection: Selection) -> None:
    """Raise `UserError` if standard deviations are to be exported from the cube of a single network."""
    deviations = [name for name in _DEVIATIONS if name in selection.variables]
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
