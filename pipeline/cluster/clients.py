"""Dask clusters: one of our own on this machine, jobs of Slurm, or one that someone else has started."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cluster.workers import ExpectedWorkers, drop_noise, interrupts_held, prepare, take_device
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings, TlsSettings

if TYPE_CHECKING:
    from distributed import Client, Security
    from distributed.deploy.cluster import Cluster

# A block may hold the interpreter for seconds inside NumPy or PyTorch, which is no sign of trouble.
CLUSTER_CONFIG = {"distributed.admin.tick.limit": "60s"}
# Dask gives a worker up for good that is absent 15 s after one of its processes ended, though its nanny is about to
# start the next, which takes longer on a busy machine: one by one, a run would lose all local workers. A job of Slurm
# whose worker is absent is cancelled and submitted again.
_LOST = "distributed.deploy.lost-worker-timeout"
LOCAL_CONFIG = {_LOST: "3650 days"}
SLURM_CONFIG = {_LOST: "60s"}

LOCAL_WORKERS = ExpectedWorkers(
    300,
    "all workers of this machine have ended, and none",
    "see the messages above; committed results stay; start the same run again, perhaps with fewer execution.workers",
)
_JOIN_SECONDS = 60.0  # longest wait for a worker of a cluster that someone else has started
_STAGGER_MINUTES = 5  # workers of Slurm leave one after the other, this long before their job ends


def open_client(settings: ExecutionSettings, stack: ExitStack, *, workers: int, devices: Sequence[str]) -> Client:
    """Return the client of the cluster that the run file names; `stack` closes both at the end.

    Parameters
    ----------
    settings, stack
        Section of the run file, and the exits at the end of the work.
    workers, devices
        Number of workers of a local cluster, and the CUDA devices of which each has one.

    Raises
    ------
    UserError
        If no scheduler answers, or no job can be submitted.
    """
    import dask
    import distributed  # noqa: F401 (its defaults are loaded with it, and must be there when the settings are taken back)

    stack.enter_context(dask.config.set(CLUSTER_CONFIG))
    drop_noise()
    if settings.scheduler == "slurm":
        stack.enter_context(dask.config.set(SLURM_CONFIG))
        client = _client_of_cluster(_slurm_cluster(settings), stack)
    elif settings.remote:
        client = stack.enter_context(_connected(settings))
    else:
        stack.enter_context(dask.config.set(LOCAL_CONFIG))
        client = _client_of_cluster(_local_cluster(settings, workers), stack)
        if devices:
            client.register_worker_callbacks(partial(take_device, tuple(devices)))
    client.register_worker_callbacks(prepare)
    return client


def expected_workers(settings: ExecutionSettings) -> ExpectedWorkers:
    """Return how long to wait for a worker while a cluster has none, and what to do if none joins."""
    slurm, scheduler = settings.slurm, settings.scheduler
    if not settings.remote:
        return LOCAL_WORKERS
    if scheduler == "slurm":
        return ExpectedWorkers(
            60 * slurm.wait_minutes,
            f"no worker of {slurm.jobs} jobs",
            f"see `squeue --me` and the logs in {slurm.logs}, or raise execution.slurm.wait_minutes",
        )
    address = f"--scheduler-file {scheduler}" if settings.scheduler_file else scheduler
    return ExpectedWorkers(
        _JOIN_SECONDS,
        f"the scheduler at {scheduler} has no worker, and none",
        f"start some with `dask worker {address} --nworkers N --nthreads 1`",
    )


def _client_of_cluster(cluster: Cluster, stack: ExitStack) -> Client:
    from distributed import Client

    client: Client = stack.enter_context(Client(stack.enter_context(cluster)))
    return client


def _check_shared_memory() -> None:
    """Raise `UserError` where processes cannot share a semaphore: Dask would end in tracebacks of each worker."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        raise UserError(
            f"no local workers can be started: {error.strerror} for shared memory in /dev/shm; mount it writable (mode "
            '1777), or set execution.scheduler = "serial"'
        ) from error


def _local_cluster(settings: ExecutionSettings, workers: int) -> Cluster:
    from distributed import LocalCluster

    _check_shared_memory()
    with interrupts_held():
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=settings.memory_limit or "auto",
            dashboard_address=_dashboard(settings),
        )


def _dashboard(settings: ExecutionSettings) -> str:
    return f"127.0.0.1:{8787 if settings.dashboard else 0}"  # without a host: on all interfaces


def _slurm_cluster(settings: ExecutionSettings) -> Cluster:
    """Submit the jobs; one that ends, for instance because its time is over, is submitted again."""
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise UserError(
            'execution.scheduler = "slurm" needs the optional dependencies `slurm`: pip install "agcarbon[slurm]"'
        ) from None
    slurm = settings.slurm
    lifetime = slurm.minutes - 2 * _STAGGER_MINUTES
    try:
        cluster: Cluster = SLURMCluster(
            queue=slurm.queue or None,
            account=slurm.account or None,
            walltime=slurm.walltime,
            cores=slurm.workers,
            processes=slurm.workers,
            memory=slurm.memory,
            interface=slurm.interface or None,
            log_directory=str(slurm.logs),
            job_extra_directives=list(slurm.directives),
            job_script_prologue=list(slurm.prologue),
            worker_extra_args=["--lifetime", f"{lifetime}m", "--lifetime-stagger", f"{_STAGGER_MINUTES}m"],
            scheduler_options={"dashboard_address": _dashboard(settings)},
            security=_security(settings.tls),
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"[execution.slurm]: the cluster cannot be started: {error}") from error
    cluster.adapt(minimum_jobs=slurm.jobs, maximum_jobs=slurm.jobs)
    return cluster


def _connected(settings: ExecutionSettings) -> Client:
    """Return a client of a scheduler that someone else has started."""
    from distributed import Client

    place, security = settings.scheduler, _security(settings.tls)
    try:
        if settings.scheduler_file:
            return Client(scheduler_file=_existing(Path(place)), security=security)
        return Client(place, security=security)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"execution.scheduler = {place!r}: no Dask scheduler answers there ({error}); start one with "
            "`dask scheduler`, or correct the address"
        ) from error


def _existing(file: Path) -> str:
    if not file.is_file():
        raise UserError(
            f"execution.scheduler = {str(file)!r}: there is no such scheduler file; start a scheduler with "
            f"`dask scheduler --scheduler-file {file}`"
        )
    return str(file)


def _security(tls: TlsSettings) -> Security | None:
    """Return the certificates of the connections; None to take those of Dask's own configuration, if any."""
    from distributed import Security

    if not tls.given:
        return None
    files: dict[str, Any] = {"tls_ca_file": str(tls.ca)}
    for role in ("client", "scheduler", "worker"):
        files |= {f"tls_{role}_cert": str(tls.certificate), f"tls_{role}_key": str(tls.key)}
    return Security(require_encryption=True, **files)
