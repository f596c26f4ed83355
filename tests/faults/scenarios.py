"""What is under way when a fault strikes: small jobs, prepared once, each with the cube of an undisturbed run."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, expected_shapes
from model.features import PUBLISHED_FEATURE_SCALERS
from pipeline.job import Job
from tests.faults import hooks, processes, snapshots
from tests.faults.hooks import Hook
from tests.pipeline.random_inputs import REGION, YEARS, Fields, write_inputs

CHANGED = Fields(gpp_factor={2012: 1.1})
RUN = ("run", "run.toml")
LIMIT = 180.0  # seconds after which a command without fault is taken to be stuck

RUN_FILE = """
region = "small.toml"
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
memory_limit = "{memory_limit}"
block_years = 2
commit_seconds = 0.001
"""


@dataclass(frozen=True)
class Undisturbed:
    """All arrays of a cube by path, but for times and run numbers, and checksums by tile, year and fingerprint."""

    arrays: dict[str, NDArray[np.generic]]
    checksums: dict[str, str]


@dataclass(frozen=True)
class Scenario:
    """A prepared folder, and what the command does there when nothing disturbs it.

    Attributes
    ----------
    command
        Arguments of `agcarbon`.
    undisturbed
        The cube in the end.
    calls
        Of each step of `hooks.STEPS`, in one process.
    seconds, written
        What the command takes: time, and bytes that the cube grows by.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    undisturbed: Undisturbed
    calls: Counter[str]
    seconds: float
    written: int


def prepare(folder: Path) -> dict[str, Scenario]:
    """Make all scenarios in `folder`."""
    base, changed = folder / "inputs", folder / "changed"
    _succeed(lambda: _write_job(base))
    shutil.copytree(base, changed)
    _succeed(lambda: write_inputs(Job.open(changed / "run.toml"), CHANGED, years=(2012,)))
    made = {"fresh": _rehearse("fresh", base), "fresh, changed": _rehearse("fresh, changed", changed)}

    append = _copied(base, folder / "append")
    _command(append, ("run", "run.toml", "--years", f"{YEARS[0]}-{YEARS[-2]}"))
    resume = _copied(base, folder / "resume")
    _command(resume, RUN, hook=Hook("commit", "after", made["fresh"].calls["commit"] // 2, 1, "kill"))
    reingest = _copied(base, folder / "reingest")
    _command(reingest, RUN)
    _succeed(lambda: write_inputs(Job.open(reingest / "run.toml"), CHANGED, years=(2012,)))
    made |= {name: _rehearse(name, folder / name) for name in ("append", "resume", "reingest")}
    return made


def _write_job(folder: Path) -> None:
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(5)
    tensors = {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in expected_shapes().items()}
    scalers = {
        "features": PUBLISHED_FEATURE_SCALERS, "gpp": PUBLISHED_FEATURE_SCALERS[8], "ra": (-1.4, 2.6),
        "rh": (-1.0, 0.9), "nee": (-0.5, 3.0), "yield": (221.0, 104.0), "residue": (326.0, 150.0),
    }  # fmt: skip
    weights = Checkpoint.from_published(tensors, scalers, record={"origin": "random weights"})
    weights.save(folder / "random.safetensors")
    (folder / "small.toml").write_text(REGION.format(tile_cells=8))
    (folder / "cube").mkdir()
    for name, scheduler in (("run.toml", "serial"), ("dask.toml", "local")):
        (folder / name).write_text(RUN_FILE.format(scheduler=scheduler, memory_limit="4GiB"))
    write_inputs(Job.open(folder / "run.toml"), Fields(), years=YEARS)


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


def _rehearse(name: str, folder: Path, command: tuple[str, ...] = RUN) -> Scenario:
    """Do the command undisturbed in a copy of the folder, and count."""
    copy = _copied(folder, folder.with_name(f"{folder.name}-done"))

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
    _succeed(lambda: snapshots.save(copy / "cube" / "cube.icechunk", copy / "undisturbed"))
    with np.load(copy / "undisturbed.npz") as arrays:
        held = {path: arrays[path] for path in arrays.files}
    undisturbed = Undisturbed(held, json.loads((copy / "undisturbed.json").read_text()))
    calls = Counter(json.loads((copy / "calls.json").read_text()))
    written = pages(copy / "cube") - pages(folder / "cube")
    return Scenario(name, folder, command, undisturbed, calls, seconds, written)


def pages(folder: Path) -> int:
    """Bytes that the files of a folder take on a file system of 4 KiB pages."""
    sizes = (path.stat().st_size for path in folder.rglob("*"))
    return sum(-(-size // 4096) * 4096 for size in sizes)
