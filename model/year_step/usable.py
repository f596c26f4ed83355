"""Which year step works on this machine: the compiled one, kept in a cache folder, or PyTorch's."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.arrays import RESIDUE_DAYS
from model.checkpoint import Checkpoint
from model.features import FEATURES, Scaler

# PyTorch is loaded where the step is compiled or used.
if TYPE_CHECKING:
    from model.inference import Predictor

NUMBA, PYTORCH = "numba", "pytorch"
NEEDED_FEATURES = ("avx2", "fma")


@dataclass(frozen=True)
class Compiled:
    """The compiled year step in this process.

    Attributes
    ----------
    obstacle
        Reason why it does not work here; None if it works.
    lanes
        Cells in a vector of this processor.
    seconds
        Time of the compilation; None if the code came from the cache.
    folder
        Cache folder; None if no folder could be written, so that each process compiles.
    """

    obstacle: str | None
    lanes: int = 0
    seconds: float | None = None
    folder: Path | None = None

    @property
    def news(self) -> str | None:
        """A sentence for the user, where there is something to say."""
        if self.obstacle:
            return f"year step: PyTorch, since the compiled one does not work here: {self.obstacle}"
        if self.seconds is None:
            return None
        place = f"kept in {self.folder}" if self.folder else "kept nowhere, since no cache folder can be written"
        return f"year step: compiled in {self.seconds:.1f} s for this processor, {place}"


def predictor(checkpoint: Checkpoint, *, year_step: str, device: str, batch_cells: int) -> Predictor:
    """Return the predictor with a year step that works here.

    Parameters
    ----------
    checkpoint
        The trained network.
    year_step
        `NUMBA`, which ignores the other settings, or `PYTORCH`.
    device, batch_cells
        Of `Predictor`.
    """
    from model.inference import Predictor

    if year_step == PYTORCH:
        return Predictor(checkpoint, device=device, batch_cells=batch_cells)
    from model.year_step.predictor import CompiledPredictor

    return CompiledPredictor(checkpoint, lanes=compiled().lanes)


@cache
def compiled() -> Compiled:
    """Compile the year step, or load it from the cache, and run it once; once in each process."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return Compiled(f"the processor is of type {platform.machine()}, not x86-64")
    try:
        import llvmlite.binding as llvm
        import numba
    except (ImportError, OSError) as error:
        return Compiled(f"Numba cannot be imported: {error}")
    # NUMBA_CPU_FEATURES, such as "+avx2,+fma", restricts the code to some of the processor's instructions.
    named = str(numba.config.CPU_FEATURES or "").split(",")
    features = {name[1:]: True for name in named if name.startswith("+")} or llvm.get_host_cpu_features()
    if missing := [name for name in NEEDED_FEATURES if not features.get(name)]:
        return Compiled(f"the processor has no {' and no '.join(missing).upper()}")
    if numba.config.DISABLE_JIT:
        return Compiled("NUMBA_DISABLE_JIT is set")
    lanes, folder, began = 32 if features.get("avx512f") else 16, _cache_folder(), time.perf_counter()
    try:
        loaded = _loaded(lanes, folder)
    except (numba.core.errors.NumbaError, ImportError, RuntimeError, OSError) as error:
        return Compiled(f"Numba fails: {' '.join(str(error).split())[:200]}")
    return Compiled(None, lanes, None if loaded else time.perf_counter() - began, folder)


def _loaded(lanes: int, folder: Path | None) -> bool:
    """Run a year of an untrained network; return whether its code came from the cache."""
    import numba
    import torch

    from model.network import KGMLNetwork, OutputScalers
    from model.year_step import packing, passes, vectors

    functions = (passes.gather, passes.run_year)
    if folder:
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
        try:
            for function in functions:
                function.enable_caching()
        finally:
            numba.config.CACHE_DIR = before
    unit, days = Scaler(0.0, 1.0), RESIDUE_DAYS[-1] + 1
    with torch.random.fork_rng(devices=[]):
        packed = packing.pack(KGMLNetwork(OutputScalers(unit, unit, unit, unit)))
    scalers = passes.YearScalers(
        np.ones((len(FEATURES), 2), np.float32), np.ones((5, 2), np.float32), np.array(RESIDUE_DAYS, np.int64)
    )
    inputs = passes.GroupInputs(
        np.float32(2000), np.ones((7, days, 1), np.float32), np.zeros(1, np.int64), np.ones((days, 1), np.float32),
        np.ones(1, np.uint8), np.ones((9, 1), np.float32),
    )  # fmt: skip
    group = passes.CellGroup.empty(days, lanes)
    group.states_2LHV[:] = 0.0
    passes.gather(inputs, scalers, group)
    passes.run_year(vectors.Lanes(lanes), packed, scalers, group)
    return not any(function.stats.cache_misses or not function.stats.cache_hits for function in functions)


def _cache_folder() -> Path | None:
    """Return a folder of this user's for the compiled code of this version of the sources, or None.

    Numba looks at the age of one source file alone; here, another version of any of them has a folder of its own.
    """
    import llvmlite
    import numba

    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for base in _cache_bases():
        folder = base / f"year-step-{digest.hexdigest()[:12]}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Code is loaded from here: a folder that somebody else has made in a common place is not used.
            if folder.stat().st_uid == os.getuid():
                with tempfile.TemporaryFile(dir=folder):
                    return folder
        except OSError:
            continue
    return None


def _cache_bases() -> Iterator[Path]:
    """Yield the places for the cache, the best first."""
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agcarbon"
    yield Path(tempfile.gettempdir()) / f"agcarbon-{os.getuid()}"
