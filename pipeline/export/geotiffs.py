"""Export of the cube's maps: Cloud-Optimized GeoTIFFs, and a STAC catalog of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import zarr

from pipeline.aggregate.layout import outdated, sources
from pipeline.cluster.executor import Executor, Outcome, until_fatal
from pipeline.cube import members
from pipeline.cube.history import RELEASE, resolve
from pipeline.cube.layout import identity
from pipeline.digests import content_digest
from pipeline.errors import UserError
from pipeline.export.attributes import software
from pipeline.export.clip import Clip
from pipeline.export.layers import CELLS, GROUPS, MONTHLY_GROUPS, Layer, together
from pipeline.export.maps import SNAPSHOT, Context, MapFile, MapsDone, MapTask, write_maps
from pipeline.export.over_years import OverYears
from pipeline.export.pieces import Source
from pipeline.export.place import FILE, SOFTWARE
from pipeline.export.reproject import NATIVE, Reprojection
from pipeline.export.selection import Selection
from pipeline.export.stac import TAG, write_catalog
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run.provenance import Records, YearRecord, read_records
from pipeline.storage import files as outputs
from pipeline.storage import repository as store
from pipeline.storage.retry import RetryPolicy
from pipeline.years import spans
from regions import Region

log = logging.getLogger(__name__)


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

    def as_json(self) -> dict[str, Any]:
        """Return JSON values: its fields; docs/json.md lists them."""
        return asdict(self)


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
        _check_aggregated(job, root, selection, records)
    _check_area(root, selection)
    years = [record.year for record in records.years]
    layers = selection.layers(years)
    of_cube = {SNAPSHOT: snapshot, "release": (store.attribute(root, RELEASE) or {}).get("name", "none")}
    naming = _Naming(job.region, selection, folder, of_cube, {record.year: record for record in records.years})
    tasks = [
        MapTask(tuple(map(naming.file, group)), naming.tiles(group[0]))
        for group in together(root, layers, selection.period, selection.grid)
    ]
    context = Context(
        cube=job.stores.cube,
        snapshot=snapshot,
        grid=selection.grid,
        policy=RetryPolicy(job.execution.retries),
        crs=selection.crs,
        area=selection.area,
    )
    done = _Done()
    done.run(tasks, executor.map(partial(write_maps, context), tasks), folder, progress)
    catalog = write_catalog(folder, job.publication)
    absent = members.without_months(root, years) if selection.deviations and selection.period == "monthly" else None
    return ExportReport(
        files=tuple(file.location for task in tasks for file in task.files if file.location in done.sizes),
        kept=sum(size is None for size in done.sizes.values()),
        size_bytes=sum(size or 0 for size in done.sizes.values()),
        catalog=catalog.location,
        notes=(*records.notes(), *([absent] if absent else ()), *done.notes(tasks), *catalog.notes()),
        failures=done.failures,
        stopped=executor.stop.asked,
    )


@dataclass
class _Done:
    """Outcomes of tasks.

    Attributes
    ----------
    sizes
        Sizes of the files that are there [bytes], or None if they were kept.
    too_few
        Number of pixels that have a value in some years, but in too few of them for a statistic, by file.
    failures
        Failures of tasks by name.
    """

    sizes: dict[str, int | None] = field(default_factory=dict)
    too_few: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def notes(self, tasks: Sequence[MapTask]) -> Iterator[str]:
        """Yield a sentence for the statistics of each period that leave out the same number of pixels."""
        alike: defaultdict[tuple[str, OverYears, int], list[str]] = defaultdict(list)
        for file in (file for task in tasks for file in task.files):
            layer, pixels = file.layer, self.too_few.get(file.location)
            if layer.over and pixels:
                alike[layer.period.name, layer.over, pixels].append(layer.written.name)
        for (period, over, pixels), names in alike.items():
            yield (
                f"{', '.join(names)}, {period}: {pixels} pixels have a value in fewer than {over.least} of "
                f"{len(over.years)} years, and are nodata"
            )

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
                self.too_few |= outcome.result.too_few
            progress("GeoTIFFs", len(self.sizes), total, failed)


@dataclass(frozen=True)
class _Naming:
    """Names and metadata of the files of one export.

    `of_cube` is metadata on the cube's state, `records` is the provenance of each year.
    """

    region: Region
    selection: Selection
    folder: str
    of_cube: Mapping[str, str]
    records: Mapping[int, YearRecord]

    def tiles(self, layer: Layer) -> dict[int, tuple[Tile, ...]]:
        """Return the tiles with results of each year of a layer."""
        return {year: self.records[year].tiles for year in layer.years}

    def file(self, layer: Layer) -> MapFile:
        """Return the file of a layer, with its description and provenance, from which the catalog is made too."""
        region, selection, period = self.region, self.selection, layer.period
        tags = {
            "region": region.name,
            "title": region.title,
            "variable": layer.written.name,
            "period": selection.period,
            "first_day": period.first.isoformat(),
            "last_day": period.last.isoformat(),
            "item": f"{region.name}_{period.name}{selection.qualifiers}",
            "grid": selection.grid,
            "mask": selection.mask,
            **({"area": selection.area.option, "area_digest": selection.area.digest} if selection.area else {}),
            **self._of_series(layer),
            **self.of_cube,
            **_provenance([self.records[year] for year in layer.years]),
        }
        ours = {f"{TAG}{name}".upper(): text for name, text in tags.items()}
        name = f"{region.name}_{layer.written.name}_{period.name}{selection.qualifiers}.tif"
        marks = {"TIFFTAG_SOFTWARE": software(), SOFTWARE: software(), FILE: name}
        return MapFile(layer, outputs.join(self.folder, name), {**marks, **ours})

    def _of_series(self, layer: Layer) -> dict[str, str]:
        """Return the years of a statistic, or the name of the stack of all dates of a variable and the layer's date."""
        if layer.over:
            return {"years": spans(layer.over.years), "least_years": str(layer.over.least)}
        selection = self.selection
        stack = f"{self.region.name}_{layer.written.name}_{selection.period}{selection.qualifiers}"
        return {"stack": stack, "date": layer.period.name}


def _provenance(records: Sequence[YearRecord]) -> dict[str, str]:
    """Return the metadata on the results of some years; where years differ, those of each."""
    of_years = [record.tags() for record in records]
    joined = {}
    for name, text in of_years[0].items():
        if any(tags[name] != text for tags in of_years):
            text = "; ".join(f"{record.year}: {tags[name]}" for record, tags in zip(records, of_years, strict=True))
        joined[name] = text
    digests = [record.digest for record in records]
    return {"results_digest": digests[0] if len(digests) == 1 else content_digest("".join(digests).encode()), **joined}


def _check_ensemble(root: zarr.Group, selection: Selection) -> None:
    """Raise `UserError` if standard deviations are to be exported from the cube of a single network."""
    deviations = selection.deviations
    if absent := [name for name in deviations if f"annual/{name}" not in root]:
        raise UserError(
            f"--variables {','.join(absent)}: no ensemble has computed this cube; join two or more checkpoints with "
            "`agcarbon checkpoint ensemble` and run the cube with the result"
        )
    if selection.grid == CELLS:
        if deviations and selection.period == "monthly" and members.MONTHLY not in root:
            raise UserError(
                f"--variables {','.join(deviations)}: an earlier version has computed this cube, which keeps no months "
                "of the members; compute tiles again with `agcarbon run --tile`"
            )
        return
    maps = (MONTHLY_GROUPS if selection.period == "monthly" else GROUPS)[selection.grid]
    if absent := [name for name in deviations if f"{maps}/{name}" not in root]:
        raise UserError(
            f"--variables {','.join(absent)}: the aggregates on {selection.grid} degree have no members; run "
            "`agcarbon aggregate`, after `agcarbon run` of the years that an earlier version computed"
        )


def _check_area(root: zarr.Group, selection: Selection) -> None:
    """Raise `UserError` if no cell or no pixel of the maps lies in the area."""
    if selection.area:
        Clip.of(Source(root, selection.grid).sheet, selection.area)
        if selection.crs != NATIVE:
            Reprojection.of(identity(root).grid, selection.crs, selection.area)


def _check_aggregated(job: Job, root: zarr.Group, selection: Selection, records: Records) -> None:
    grid, period = selection.grid, selection.period
    # Computed from the results that the cube holds now: the digest is that of the ledger.
    # Aggregates of an earlier version may have no such months, and no digests of days.
    older = period in ("monthly", "daily") and outdated(root)
    made_of = {} if older else sources(root, GROUPS[grid])
    if stale := [record.year for record in records.years if made_of.get(record.year) != record.digest]:
        years = ", ".join(map(str, stale))
        raise UserError(
            f"the aggregates on {grid} degree of {years} are absent or older than the results; "
            f"run `agcarbon aggregate {job.path}`"
        )
