"""What is under way when a fault strikes: small jobs, prepared once, each with the cube of an undisturbed run."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.job import Job
from tests.faults import hooks, processes, snapshots
from tests.faults.hooks import CUBE, Hook
from tests.helpers import small_archives
from tests.helpers.random_inputs import Fields, random_checkpoint, region_text, write_inputs

YEARS = (2010, 2011, 2012)
CHANGED_YEAR = 2012
CHANGED = Fields(gpp_factor={CHANGED_YEAR: 1.1})
RUN, INGEST, AGGREGATE = ("run", "run.toml"), ("ingest", "run.toml"), ("aggregate", "run.toml")
EXPORT = ("export", "cog", "run.toml")
GC = ("gc", "run.toml", "--spare-hours", "0")
RELEASE = "prepared"
# What a user does with the stores, every command of which must give the numbers of undisturbed ones, or fail.
USE = (
    RUN,
    AGGREGATE,
    EXPORT,
    (*EXPORT, "--period", "monthly", "--variables", "nee", "--dates", "2012-07"),
    (*EXPORT, "--grid", "0.5"),
)
HANG_MINUTES = 0.2  # longer than any block takes on a busy machine
LIMIT = 180.0  # seconds after which a command without fault is taken to be stuck

RUN_FILE = """
region = "small.toml"
[archives]
soil = "gssurgo"
nldas2 = "nldas2"
slope = "slope"
crop = "cdl"
[stores]
cube = "cube/cube.icechunk"
inputs = "inputs.icechunk"
[model]
checkpoint = "random.safetensors"
[restart]
every = 2
last = 1
[execution]
scheduler = "{scheduler}"
workers = 2
memory_limit = "2GiB"
block_years = 2
commit_seconds = 0.001
retries = 2
block_minutes = {minutes}
"""


@dataclass(frozen=True)
class Undisturbed:
    """A cube that nothing disturbed.

    Attributes
    ----------
    arrays
        All arrays by path, but for times and run numbers.
    checksums
        By tile, year and fingerprint; also of the cube at the start.
    releases, releases_before
        Names of the releases in the end, and at the start.
    exported
        Digests of the exported files by path.
    """

    arrays: dict[str, NDArray[np.generic]]
    checksums: dict[str, str]
    releases: frozenset[str] = frozenset()
    releases_before: frozenset[str] = frozenset()
    exported: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """A prepared folder, and what the command does there when nothing disturbs it.

    Attributes
    ----------
    command
        Arguments of `agcarbon`.
    finish
        Commands that bring the work to its end, whatever became of the first.
    keeps
        Whether nothing that is committed may ever go: true of all but a rollback.
    undisturbed
        The cube in the end; checksums also of what is there at the start.
    calls
        Of each step of `hooks.STEPS`, in one process.
    seconds, written
        What the command takes: time, and bytes that the cube grows by.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    finish: tuple[tuple[str, ...], ...]
    keeps: bool
    undisturbed: Undisturbed
    calls: Counter[str]
    seconds: float
    written: int


def prepare(folder: Path) -> dict[str, Scenario]:
    """Make all scenarios in `folder`."""
    base, changed = folder / "fresh", folder / "fresh, changed"
    _succeed(lambda: _write_job(base))
    _change(_copied(base, changed))
    made = [_rehearse(base), _rehearse(changed)]
    append = _copied(base, folder / "append")
    _command(append, ("run", "run.toml", "--years", f"{YEARS[0]}-{YEARS[-2]}"))
    resume = _copied(base, folder / "resume")
    _command(resume, RUN, hook=Hook("commit", "after", made[0].calls["commit"] // 2, 1, "kill"))
    reingest = _copied(base, folder / "reingest")
    _command(reingest, RUN)
    collect = _copied(resume, folder / "gc")
    _command(collect, RUN)
    release = _copied(append, folder / "tag")
    _command(release, ("tag", "run.toml", "before"))
    delete = _copied(release, folder / "tag --delete")
    rollback = _copied(release, folder / "rollback")
    _command(rollback, RUN)
    aggregate, export = (_copied(collect, folder / name) for name in ("aggregate", "export"))
    ingest = folder / "ingest"
    _succeed(lambda: _write_archives(ingest))
    _command(ingest, INGEST)
    damage = _copied(ingest, folder / "damage")
    _command(damage, ("run", "run.toml", "--years", str(small_archives.YEARS[0])))
    for command in (AGGREGATE, ("tag", "run.toml", RELEASE)):
        _command(damage, command)
    _command(ingest, RUN)
    _succeed(lambda: _change_archives(ingest))
    return {
        scenario.name: scenario
        for scenario in (
            *made,
            _rehearse(append),
            _rehearse(resume),
            _rehearse(_change(reingest)),
            _rehearse(collect, GC),
            _rehearse(release, ("tag", "run.toml", "after")),
            _rehearse(delete, ("tag", "run.toml", "--delete", "before")),
            _rehearse(aggregate, AGGREGATE, finish=(AGGREGATE,)),
            _rehearse(export, EXPORT, finish=(EXPORT,)),
            _rehearse(rollback, ("rollback", "run.toml", "before", "--yes"), keeps=False),
            _rehearse(ingest, INGEST, finish=(INGEST, RUN)),
            _rehearse(damage, finish=USE),
        )
    }


def _change(folder: Path) -> Path:
    """Write another year of GPP into the inputs store, as an ingest would."""
    _succeed(lambda: write_inputs(Job.open(folder / "run.toml"), CHANGED, years=(CHANGED_YEAR,)))
    return folder


def _write_job(folder: Path) -> None:
    folder.mkdir(parents=True)
    random_checkpoint().save(folder / "random.safetensors")
    (folder / "small.toml").write_text(region_text(8).replace("2013", str(YEARS[-1])))
    _write_run_files(folder)
    write_inputs(Job.open(folder / "run.toml"), Fields(), years=YEARS)


def _write_run_files(folder: Path) -> None:
    (folder / "cube").mkdir()
    for name, scheduler, minutes in (("run", "serial", 0), ("dask", "local", 0), ("hang", "local", HANG_MINUTES)):
        (folder / f"{name}.toml").write_text(RUN_FILE.format(scheduler=scheduler, minutes=minutes))


def _write_archives(folder: Path) -> None:
    small_archives.write_archives(folder)
    shutil.copy(folder.with_name("fresh") / "random.safetensors", folder)
    _write_run_files(folder)


def _change_archives(folder: Path) -> None:
    """Write some days of GPP of the last year again, higher than they were."""
    run_file, year = Job.open(folder / "run.toml").run_file, small_archives.YEARS[-1]
    for day in small_archives.DAYS[:4]:
        higher = small_archives.gpp_of(run_file, "h11v04") + np.int16(500)
        small_archives.write_gpp(run_file, date(year, 1, 1) + timedelta(day - 1), "h11v04", higher)


def _succeed(work: Callable[[], None], *, log: Path | None = None) -> None:
    if code := processes.start(work, log=log).wait(LIMIT):
        raise RuntimeError(f"a command that nothing disturbed ended with exit code {code}; see {log or 'above'}")


def _copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def _command(folder: Path, arguments: Sequence[str], *, hook: Hook | None = None) -> None:
    def work() -> None:
        if hook:
            hooks.install(hook, folder)
        os.chdir(folder)
        processes.agcarbon(arguments)

    code = processes.start(work, log=folder / "prepared.log").wait(LIMIT)
    if code != (-9 if hook else 0):
        raise RuntimeError(f"preparing {folder.name} ended with exit code {code}; see {folder}/prepared.log")
    for trace in folder.glob("happened-*"):
        trace.unlink()


def _rehearse(
    folder: Path,
    command: tuple[str, ...] = RUN,
    *,
    finish: tuple[tuple[str, ...], ...] = (RUN,),
    keeps: bool = True,
) -> Scenario:
    """Do the commands undisturbed in a copy of the folder, and count."""
    copy = _copied(folder, folder.with_name(f"{folder.name}, undisturbed"))

    def work() -> None:
        calls: Counter[str] = Counter()
        hooks.count_calls(calls)
        os.chdir(copy)
        try:
            processes.agcarbon(command)
        finally:
            (copy / "calls.json").write_text(json.dumps(calls))

    began = time.monotonic()
    _succeed(work, log=copy / "rehearsal.log")
    seconds = time.monotonic() - began
    for last in finish:
        _command(copy, last)
    return Scenario(
        name=folder.name,
        folder=folder,
        command=command,
        finish=finish,
        keeps=keeps,
        undisturbed=_undisturbed(copy, folder),
        calls=Counter(json.loads((copy / "calls.json").read_text())),
        seconds=seconds,
        written=pages(copy / "cube") - pages(folder / "cube"),
    )


def _undisturbed(done: Path, start: Path) -> Undisturbed:
    """Read the cube that was made, and of the one that was there the checksums and releases."""
    end = _saved(done / CUBE, done / "end")
    before = _saved(start / CUBE, done / "start") if (start / CUBE).exists() else Undisturbed({}, {})
    exported = snapshots.exported(done)
    return Undisturbed(end.arrays, before.checksums | end.checksums, end.releases, before.releases, exported)


def _saved(location: Path, target: Path) -> Undisturbed:
    """Read a cube by way of a child: the parent must start no threads."""
    _succeed(lambda: snapshots.save(location, target))
    known = json.loads(target.with_suffix(".json").read_text())
    with np.load(target.with_suffix(".npz")) as arrays:
        return Undisturbed(
            {path: arrays[path] for path in arrays.files}, known["checksums"], frozenset(known["releases"])
        )


def pages(folder: Path) -> int:
    """Bytes that the files of a folder take on a file system of 4 KiB pages."""
    sizes = (path.stat().st_size for path in folder.rglob("*"))
    return sum(-(-size // 4096) * 4096 for size in sizes)
