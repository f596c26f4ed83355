"""`agcarbon history`, `tag`, `diff`, `rollback` and `gc`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from pipeline.cli.guide import complete
from pipeline.cli.options import AsJson, RunFilePath, names

if TYPE_CHECKING:
    import icechunk

    from pipeline.job import Job
    from pipeline.storage.commit import Committer

StoreName: TypeAlias = Literal["cube", "inputs"]


def history(
    run_file: RunFilePath,
    store: Annotated[StoreName, typer.Option(help="store to list")] = "cube",
    limit: Annotated[int, typer.Option(min=1, help="number of commits, newest first")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the commits of a store, newest first.

    Each with the groups that it changed and the releases made of it.
    """
    from pipeline.console import console, print_json
    from pipeline.cube.history import commits, short
    from pipeline.cube.history_report import history_json, history_table
    from pipeline.job import Job

    job = Job.open(run_file)
    location = job.stores.cube if store == "cube" else job.stores.inputs
    found = commits(_open(job, store), limit=limit)
    if as_json:
        print_json(history_json(location, found))
    else:
        console.print(history_table(location, found))
        console.print(f"newest state: {short(found[0].snapshot)}, {found[0].message}" if found else "no commit yet")


def _open(job: Job, name: StoreName) -> icechunk.Repository:
    from pipeline.storage import repository as store

    if name == "cube":
        return job.open_cube()
    return store.open_existing(job.stores.inputs, made_by=f"agcarbon ingest {job.path}")


def tag(
    run_file: RunFilePath,
    name: Annotated[str | None, typer.Argument(help="name of the new release; without it, releases are listed")] = None,
    *,
    at: Annotated[
        str | None, typer.Option(help="snapshot, its first characters, or a release; default: the newest state")
    ] = None,
    message: Annotated[str, typer.Option(help="description of the release")] = "",
    listed: Annotated[bool, typer.Option("--list", help="list the releases")] = False,
    delete: Annotated[
        str | None,
        typer.Option(help="delete this release; its name cannot be used again", autocompletion=complete.release_names),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make, list or delete releases of the cube.

    A release is a named state that never changes and that gc keeps.
    """
    from pipeline.console import console, print_json
    from pipeline.cube.history import delete_release, make_release, releases, short
    from pipeline.cube.history_report import releases_json, releases_table
    from pipeline.job import Job

    if (name is not None) + (delete is not None) + (listed or as_json) > 1:
        raise typer.BadParameter("give only one of a name, --delete and --list")
    job = Job.open(run_file)
    if name is not None:
        with _writing_cube(job) as committer:
            made = make_release(committer, name, at=at, message=message)
        console.print(f"release {name}: snapshot {short(made.of)}")
    elif delete is not None:
        with _writing_cube(job) as committer:
            delete_release(committer, delete)
        console.print(f"deleted release {delete}; gc may now free the data that no other state holds")
    elif as_json:
        print_json(releases_json(job.stores.cube, releases(job.open_cube())))
    else:
        console.print(releases_table(job.stores.cube, releases(job.open_cube())))


def _writing_cube(job: Job) -> AbstractContextManager[Committer]:
    """Hold the cube's lock, and give its committer."""
    from pipeline.storage.commit import committing
    from pipeline.storage.retry import RetryPolicy

    return committing(job.stores.cube, job.open_cube, RetryPolicy(job.execution.retries))


def diff(
    run_file: RunFilePath,
    before: Annotated[
        str,
        typer.Argument(help="release, or snapshot of `agcarbon history`", autocompletion=complete.release_names),
    ],
    after: Annotated[
        str, typer.Argument(help="release or snapshot to compare with it", autocompletion=complete.release_names)
    ],
    *,
    variables: Annotated[
        str,
        typer.Option(
            autocompletion=complete.variable_names,
            help="fluxes whose change is drawn: gpp, ra, rh, reco, nee, yield, residue, dsoc",
        ),
    ] = "nee,yield,dsoc",
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="folder or s3://bucket/prefix; default: among the exports")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two states, where, and why.

    The result is a table, a county table and maps. A tile-year counts under the set of parts of its fingerprint that
    differ: GPP, climate, soil, crops, weights, code. The sets add up to the total change.
    """
    from pipeline.changes.compare import compare
    from pipeline.changes.picture import TITLES, save
    from pipeline.changes.report import as_json as json_of
    from pipeline.changes.report import table
    from pipeline.console import console, print_json, progress_bars
    from pipeline.errors import UserError
    from pipeline.job import Job
    from pipeline.storage import files, s3
    from regions import did_you_mean

    if output and (fault := s3.fault(output)):
        raise UserError(f"--output: {fault}")
    drawn = tuple(dict.fromkeys(names(variables)))
    if unknown := [name for name in drawn if name not in TITLES]:
        near = did_you_mean(unknown[0], TITLES.keys())
        raise UserError(
            f"--variables {variables}: no flux {', '.join(unknown)}; choose among {', '.join(TITLES)}{near}"
        )
    job = Job.open(run_file)
    with progress_bars() as report:
        found = compare(job, before, after, drawn=drawn, progress=report)
    folder = output or files.join(job.stores.exports, f"diff-{before}-{after}")
    with files.writing(files.join(folder, "counties.csv")) as path:
        found.counties.to_csv(path, index=False)
    with files.writing(files.join(folder, "changes.png")) as path:
        save(path, found)
    console.print(table(found))
    console.print(f"{len(found.found)} tile-years differ; counties.csv and changes.png in {folder}", soft_wrap=True)
    if as_json:
        print_json(json_of(found))


def rollback(
    run_file: RunFilePath,
    to: Annotated[
        str,
        typer.Argument(
            help="release, snapshot, or the first characters of a snapshot", autocompletion=complete.release_names
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask for confirmation")] = False,
) -> None:
    """Return the cube to an earlier state.

    The present one can be restored until gc frees it.
    """
    from pipeline.console import console
    from pipeline.cube.history import short
    from pipeline.cube.history_report import rollback_sentences
    from pipeline.cube.rollback import plan_rollback, roll_back
    from pipeline.job import Job

    job = Job.open(run_file)
    with _writing_cube(job) as committer:
        planned = committer.carry_out(lambda: plan_rollback(committer.repository, to))
        for sentence in rollback_sentences(planned):
            console.print(sentence)
        if not yes:
            typer.confirm("roll back?", abort=True)
        made = roll_back(committer, planned)
    console.print(
        f"the cube is now in the state of {short(planned.state)} (commit {short(made)}); until gc frees it, restore "
        f"the previous state with agcarbon rollback {job.path} {short(planned.left)}",
        soft_wrap=True,
    )


def gc(
    run_file: RunFilePath,
    store: Annotated[Literal["both", "cube", "inputs"], typer.Option(help="store to collect")] = "both",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="report how much would be freed, and free nothing")
    ] = False,
    expire_before: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="expire states written before this day (UTC), except releases"),
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(min=0, help="expire states older than this many days, except releases")
    ] = None,
    spare_hours: Annotated[
        float, typer.Option(min=0, help="leave data younger than this; on S3 those younger than a day at least")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Free data that no state of the stores holds.

    Such data are of interrupted runs, of states rolled back, and of expired history.
    """
    from pipeline.console import console, print_json
    from pipeline.cube.garbage import Retention, collect_stores
    from pipeline.cube.history_report import freed_json, freed_sentence
    from pipeline.job import Job
    from pipeline.storage.retry import RetryPolicy

    if expire_before is not None and keep_days is not None:
        raise typer.BadParameter("give either --expire-before or --keep-days")
    since = expire_before.replace(tzinfo=UTC) if expire_before else None
    if keep_days is not None:
        since = datetime.now(UTC) - timedelta(days=keep_days)
    job = Job.open(run_file)
    names = ("cube", "inputs") if store == "both" else (store,)
    policy, retention = RetryPolicy(job.execution.retries), Retention(since, spared=timedelta(hours=spare_hours))
    collected = collect_stores(job.stores.repositories, names, retention=retention, dry_run=dry_run, policy=policy)
    for location, freed in collected.items():
        console.print(freed_sentence(location, freed, dry_run=dry_run, age=retention.age(location)))
    if as_json:
        print_json(freed_json(collected, dry_run=dry_run))
