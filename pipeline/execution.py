"""Sections of the run file on where the work is done: scheduler, workers, commits; and the base of all sections."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

# A scheme of Dask's own, a host (of IPv6 in brackets) and a port; without a scheme Dask takes tcp.
_SCHEDULER_ADDRESS = re.compile(r"(?:(?:tcp|tls|ucx|ucxx|ws|wss)://)?(?:[^\s/:\[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")
_WALLTIME = re.compile(r"(?:\d+-)?\d{1,3}:[0-5]\d:[0-5]\d")
_SHORTEST_JOB = 30  # minutes; workers leave in the last ten


class Section(BaseModel):
    """A table of the run file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _local(value: Any) -> Any:
    if "://" in str(value):
        raise PydanticCustomError("place", "archives are read from local folders only; copy them to one first")
    return value


def is_scheduler_file(value: str) -> bool:
    """Return whether a scheduler is named by the file that it wrote."""
    return Path(value).suffix == ".json"


def _scheduler(value: str) -> str:
    named = value in ("local", "serial", "slurm") or is_scheduler_file(value)
    if not named and not _SCHEDULER_ADDRESS.fullmatch(value):
        raise PydanticCustomError(
            "scheduler",
            'it is none of "local", "serial" and "slurm", nor the address of a Dask scheduler, as tcp://host:8786, nor '
            "its scheduler file, as scheduler.json",
        )
    return value


def _walltime(value: str) -> str:
    if not _WALLTIME.fullmatch(value):
        raise PydanticCustomError("walltime", "it is no time as Slurm takes it: HH:MM:SS, or D-HH:MM:SS")
    if _minutes(value) < _SHORTEST_JOB:
        raise PydanticCustomError(
            "walltime", "workers of so short a job would do nothing: it takes {least} minutes", {"least": _SHORTEST_JOB}
        )
    return value


def _minutes(walltime: str) -> int:
    days, _, clock = walltime.rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return 24 * 60 * int(days or 0) + 60 * hours + minutes + seconds // 60


Folder: TypeAlias = Annotated[Path, BeforeValidator(_local)]
Scheduler: TypeAlias = Annotated[str, AfterValidator(_scheduler)]


class SlurmSettings(Section):
    """Jobs of workers, where the scheduler is "slurm" (needs the optional dependencies `slurm`)."""

    jobs: int = Field(1, ge=1, description="number of jobs; one that ends before the work is submitted again")
    workers: int = Field(16, ge=1, description="worker processes of a job: its CPUs")
    memory: str = Field("64GiB", description="memory of a job, which its workers share equally")
    walltime: Annotated[str, AfterValidator(_walltime)] = Field(
        "04:00:00", description="time of a job, HH:MM:SS or D-HH:MM:SS; workers leave before it is over"
    )
    queue: str = Field("", description="partition; empty: that of the site")
    account: str = Field("", description="account; empty: that of the user")
    interface: str = Field("", description='network interface of scheduler and workers, such as "ib0"')
    directives: tuple[str, ...] = Field((), description='further options of sbatch, such as ["--gpus=4"]')
    prologue: tuple[str, ...] = Field((), description='commands before the workers, such as ["module load cuda"]')
    logs: Folder = Field(Path("slurm-logs"), description="folder of the logs of the jobs")
    wait_minutes: float = Field(60.0, gt=0, description="longest wait [min] for a worker while no job has one")

    @property
    def minutes(self) -> int:
        """Time of a job [min]."""
        return _minutes(self.walltime)


class TlsSettings(Section):
    """Certificates of a Dask cluster with addresses tls://, as PEM files; empty: those of Dask's configuration."""

    ca: str = Field("", description="certificate of the authority that signed all others")
    certificate: str = Field("", description="certificate of this process")
    key: str = Field("", description="its private key")

    @property
    def given(self) -> bool:
        """Whether the run file names certificates."""
        return bool(self.ca or self.certificate or self.key)

    @model_validator(mode="after")
    def _whole(self) -> TlsSettings:
        missing = [name for name, file in self if not file]
        if self.given and missing:
            raise PydanticCustomError("tls", "{missing} is missing: all three are needed", {"missing": missing[0]})
        return self


class ExecutionSettings(Section):
    """Scheduler, workers and commits; only with PyTorch do results depend on these settings, in the last bits."""

    scheduler: Scheduler = Field(
        "local",
        description='"local" (a Dask cluster on this machine), "serial", "slurm" (jobs of workers), or the address or '
        "the scheduler file (.json) of a Dask scheduler",
    )
    workers: int = Field(
        0,
        ge=0,
        description="worker processes of the local cluster; 0: one per core; with CUDA at most one per device",
    )
    memory_limit: str = Field(
        "", description='memory limit of each worker, such as "4GiB"; empty: memory of the machine divided by its cores'
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description='device of the network: "cpu", "cuda", or "auto" (CUDA where a worker finds it)'
    )
    batch_cells: int = Field(
        0, ge=0, le=1_000_000, description="cells of one forward pass of PyTorch; 0: 112 on a CPU, 8192 with CUDA"
    )
    block_years: int = Field(5, ge=1, description="largest number of years of one tile that are one task")
    commit_seconds: float = Field(
        30.0,
        gt=0,
        description="longest time [s] until finished tile-years are committed; the serial scheduler first ends the "
        "task in progress",
    )
    retries: int = Field(
        7, ge=0, le=20, description="number of further attempts at a read, write or commit after a transient error"
    )
    block_minutes: float = Field(
        30.0, ge=0, description="time [min] without a finished tile-year after which a worker is restarted; 0: never"
    )
    dashboard: bool = Field(
        False, description="serve the Dask dashboard on port 8787 (needs the optional dependencies `dashboard`)"
    )

    slurm: SlurmSettings = SlurmSettings()
    tls: TlsSettings = TlsSettings()

    @property
    def remote(self) -> bool:
        """Whether the workers are elsewhere: jobs of Slurm, or those of a scheduler that someone else has started."""
        return self.scheduler not in ("local", "serial")

    @property
    def scheduler_file(self) -> bool:
        """Whether the scheduler is named by the file that it wrote."""
        return is_scheduler_file(self.scheduler)
