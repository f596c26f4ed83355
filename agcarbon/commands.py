"""The commands as functions: the arguments of the command line, and the report of each as a value.

They raise what the command line prints: `UserError` and its kin, with value, limit, place and remedy. Local workers are
processes: in a script, call these functions below `if __name__ == "__main__":`; a notebook needs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack, get_args, get_type_hints

from pipeline.errors import UserError
from pipeline.progress import Progress, silent

if TYPE_CHECKING:
    from pipeline.aggregate.write import AggregateReport
    from pipeline.audit.report import AuditReport
    from pipeline.cost.estimate import Cost
    from pipeline.export.geotiffs import ExportReport
    from pipeline.export.plain_zarr.store import ZarrReport
    from pipeline.export.selection import Selection
    from pipeline.ingest.report import IngestReport
    from pipeline.job import Job
    from pipeline.run.run import RunReport

RunFile: TypeAlias = str | PathLike[str]
Years: TypeAlias = int | str | Iterable[int] | None
"""Calendar years: 2012, "2012", "2010-2012", [2010, 2012]; None stands for all of the region."""


def ingest(
    run_file: RunFile,
    *,
    years: Years = None,
    products: Sequence[str] = (),
    again: bool = False,
    progress: Progress = silent,
) -> IngestReport:
    """Read new or changed archive files into the inputs store; see `agcarbon ingest`.

    Parameters
    ----------
    run_file
        Run file.
    years, products
        Years, and products of `pipeline.inputs.layout.PRODUCTS`; all, if None or empty.
    again
        Read also unchanged archives, to repair what is damaged in the store.
    progress
        Called with the name of the work and the numbers of its steps that ended, of all, and that failed.
    """
    from pipeline.cluster.dask import open_executor
    from pipeline.ingest.plan import plan_ingest
    from pipeline.ingest.run import ingest as ingest_archives
    from pipeline.inputs.layout import PRODUCTS
    from pipeline.run.prepare import check_ready
    from pipeline.storage.retry import RetryPolicy, retried

    job = _job(run_file)
    check_ready(job)
    policy = RetryPolicy(job.execution.retries)
    wanted, named = _years(job, years), products or PRODUCTS
    todo = retried(lambda: plan_ingest(job.run_file, years=wanted, products=named, again=again), policy)
    with open_executor(job.execution) as executor:
        return ingest_archives(todo, executor=executor, policy=policy, progress=progress)


def plan(run_file: RunFile, *, years: Years = None, keep_stale: bool = False, workers: int | None = None) -> Cost:
    """Return downloads, time and space of what is to be done; nothing changes. See `agcarbon plan`.

    `work.plan` of the result has the tile-years that a run would compute, and why; None before all inputs are ingested.
    """
    from pipeline.cluster.dask import open_executor
    from pipeline.cost.estimate import estimate
    from pipeline.run.plan import Choice

    job = _job(run_file)
    choice = Choice(keep_stale=keep_stale)
    with open_executor(job.execution) as executor:
        return estimate(job, years=_years(job, years), choice=choice, workers=workers, executor=executor)


def run(
    run_file: RunFile,
    *,
    years: Years = None,
    tiles: Iterable[str] = (),
    keep_stale: bool = False,
    progress: Progress = silent,
) -> RunReport:
    """Compute the tile-years that are missing, failed or stale, and those of `tiles` again; see `agcarbon run`."""
    from pipeline.cluster.dask import open_executor
    from pipeline.run import year_step
    from pipeline.run.plan import Choice
    from pipeline.run.run import run as run_job

    job = _job(run_file)
    choice, wanted = Choice(frozenset(tiles), keep_stale), _years(job, years)
    with open_executor(job.execution, devices=year_step.cuda_devices(job)) as executor:
        return run_job(job, executor, years=wanted, choice=choice, progress=progress)


def aggregate(
    run_file: RunFile, *, years: Years = None, again: bool = False, progress: Progress = silent
) -> AggregateReport:
    """Aggregate all complete years that are new or changed, or these `years`; see `agcarbon aggregate`.

    With `again` also those that are up to date, to repair what is damaged in the cube.
    """
    from pipeline.aggregate.write import aggregate_cube
    from pipeline.cluster.dask import open_executor

    job = _job(run_file)
    wanted = None if years is None else _years(job, years)
    with open_executor(job.execution) as executor:
        return aggregate_cube(job, executor, years=wanted, again=again, progress=progress)


class ExportOptions(TypedDict, total=False):
    """The options of `agcarbon export cog` by name; lists are sequences, or texts with commas.

    `bbox` is (west, south, east, north) in degrees, `aoi` a vector file. At most one of `aoi`, `bbox`, `states` and
    `counties` may be given.
    """

    years: Years
    variables: str | Sequence[str]
    grid: Literal["250m", "0.0025", "0.05", "0.5"]
    period: Literal["annual", "monthly", "daily", "mean", "trend"]
    dates: str | Sequence[str]
    least_years: int | None
    mask: Literal["region", "grown", "corn", "soybean"]
    units: str | Sequence[str]
    crs: Literal["native", "EPSG:5070", "EPSG:4326"]
    at: str | None
    aoi: str | PathLike[str] | None
    bbox: str | Sequence[float] | None
    states: str | Sequence[str]
    counties: str | Sequence[str]


def export(
    run_file: RunFile,
    folder: str | PathLike[str] | None = None,
    *,
    progress: Progress = silent,
    **options: Unpack[ExportOptions],
) -> ExportReport:
    """Write Cloud-Optimized GeoTIFFs and their STAC catalogue; see `agcarbon export cog`.

    Parameters
    ----------
    run_file
        Run file.
    folder
        Folder or s3://bucket/prefix; `cog` among the exports of the run file if None.
    progress
        As in `ingest`.
    options
        Those of the command, by name: `years`, `variables`, `grid`, `period`, `dates`, `least_years`, `mask`, `units`,
        `crs`, `at`, and one of `aoi`, `bbox` (four degrees), `states`, `counties`. Without any, the main annual maps of
        all years and the newest state of the cube.
    """
    from pipeline.cluster.dask import open_executor
    from pipeline.export.geotiffs import export_cogs
    from pipeline.storage import files

    job = _job(run_file)
    selection = _selection(job, options)
    place = files.join(job.stores.exports, "cog") if folder is None else str(folder)
    with open_executor(job.execution) as executor:
        return export_cogs(job, executor, selection, place, progress=progress)


def export_zarr(
    run_file: RunFile, store: str | PathLike[str] | None = None, *, at: str | None = None, progress: Progress = silent
) -> ZarrReport:
    """Write annual layers and daily fluxes as a plain Zarr store; see `agcarbon export zarr`.

    Parameters
    ----------
    run_file
        Run file.
    store
        FOLDER/NAME.zarr or s3://bucket/prefix/NAME.zarr; `zarr/REGION.zarr` among the exports if None.
    at
        Release or snapshot; the newest state if None.
    progress
        As in `ingest`.
    """
    from pipeline.cluster.dask import open_executor
    from pipeline.export.plain_zarr import store as plain_zarr

    job = _job(run_file)
    place = plain_zarr.place_of(job, None if store is None else str(store))
    with open_executor(job.execution) as executor:
        return plain_zarr.export_zarr(job, executor, place, at=at, progress=progress)


def _selection(job: Job, options: ExportOptions) -> Selection:
    """Return the maps that options name; raises `UserError` for an option or a choice that there is not."""
    from pipeline.export.clip import AreaOptions
    from pipeline.export.selection import Selection
    from regions import did_you_mean, zones

    known = get_type_hints(ExportOptions)
    if unknown := sorted(options.keys() - known.keys()):
        raise UserError(
            f"{unknown[0]}: no option of export, which has {', '.join(known)}{did_you_mean(unknown[0], list(known))}"
        )
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in ("grid", "period", "mask", "crs"):
        if name in given and given[name] not in get_args(known[name]):
            raise UserError(f"{name} = {given[name]!r}: choose among {', '.join(get_args(known[name]))}")
    for name in ("variables", "dates", "units", "states", "counties"):
        if name in given:
            given[name] = _names(given[name])
    if "years" in given:
        given["years"] = _years(job, given["years"])
    aoi, bbox = given.pop("aoi", None), given.pop("bbox", None)
    bounds = bbox if bbox is None or isinstance(bbox, str) else ",".join(map(str, bbox))
    area = AreaOptions(Path(aoi) if aoi else None, bounds, given.pop("states", ()), given.pop("counties", ()))
    return Selection(**given, area=area.area(zones(job.region)))


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else tuple(value)


def audit(
    run_file: RunFile,
    *,
    years: Years = None,
    tiles: Iterable[str] = (),
    sample: int | None = None,
    at: str | None = None,
    progress: Progress = silent,
) -> AuditReport:
    """Compare the cube with its ledger, its inputs and a second computation; see `agcarbon audit`.

    Parameters
    ----------
    run_file
        Run file.
    years, tiles
        Only these; all that are recorded if None or empty.
    sample
        Number of tile-years, drawn at random; all if None.
    at
        Release or snapshot; the newest state if None.
    progress
        As in `ingest`.
    """
    from pipeline.audit.audit import Scope
    from pipeline.audit.audit import audit as audit_job
    from pipeline.cluster.dask import open_executor

    job = _job(run_file)
    wanted = None if years is None else frozenset(_years(job, years))
    scope = Scope(wanted, frozenset(tiles) or None, sample, at)
    with open_executor(job.execution) as executor:
        return audit_job(job, executor, scope=scope, progress=progress)


def _job(run_file: RunFile) -> Job:
    from pipeline.job import Job

    return Job.open(Path(run_file))


def _years(job: Job, years: Years) -> tuple[int, ...]:
    if years is None or isinstance(years, str):
        return job.years(years)
    named = tuple(years) if isinstance(years, Iterable) else (years,)
    if not named:
        raise UserError("years: no year is named; give at least one, or None for all of the region")
    return job.years(",".join(map(str, named)))
