"""CPU time by phase, this machine, and the files of results: shared by the benchmarks.

CPU time is `time.process_time`: that of all threads of the process, in user and kernel mode. The threads of Icechunk
and zarr, which decode, encode and write, count; PyTorch and BLAS have one thread.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

FEATURES = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")


class Phases:
    """CPU seconds by phase; a phase inside another one is taken from it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    def _switch(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what runs inside."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    @contextmanager
    def watching(self, places: Mapping[str, tuple[tuple[Any, str], ...]]) -> Iterator[None]:
        """Count all calls of functions, given by phase as (module or class, name)."""
        changes = [
            mock.patch.object(owner, name, self._counted(vars(owner)[name], phase))
            for phase, functions in places.items()
            for owner, name in functions
        ]
        for change in changes:
            change.start()
        try:
            yield
        finally:
            for change in changes:
                change.stop()

    def _counted(self, member: Any, phase: str) -> Any:
        if isinstance(member, property):
            return property(self._counted(member.fget, phase))
        if isinstance(member, classmethod):
            return classmethod(self._counted(member.__func__, phase))

        @wraps(member)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.phase(phase):
                return member(*args, **kwargs)

        return call


def cpu_seconds(function: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    began = time.process_time()
    function()
    return time.process_time() - began


def machine() -> dict[str, Any]:
    """Return the processor, its load and the versions."""
    facts = dict(
        line.split(":", 1)
        for line in Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        if ":" in line
    )
    known = {name.strip(): value.strip() for name, value in facts.items()}
    packages = ("torch", "numpy", "numba", "llvmlite", "zarr", "icechunk", "xarray", "dask")
    return {
        "processor": known.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "features": [name for name in FEATURES if name in known.get("flags", "").split()],
        "instructions_of_the_year_step": os.environ.get("NUMBA_CPU_FEATURES", "all of the processor"),
        "load": [round(load, 1) for load in os.getloadavg()],
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def in_words(where: Mapping[str, Any]) -> str:
    """Return a line on the machine."""
    return f"{where['processor']}, {' '.join(where['features'])}; load {where['load'][0]}; {where['versions']}"


def write_results(path: Path, found: Mapping[str, Any]) -> None:
    """Write results with the command that gave them, without the name of their file."""
    given = sys.argv[1:]
    if "--write" in given:
        at = given.index("--write")
        given = given[:at] + given[at + 2 :]
    command = " ".join([f"python -m benchmarks.{Path(sys.argv[0]).stem}", *given])
    path.write_text(json.dumps({"command": command, **found}, indent=1) + "\n")
