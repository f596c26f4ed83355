"""Whether a scheduler that someone else has started can be reached, known in seconds and without Dask."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path

from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings

_SECONDS = 10.0  # longest wait for an answer
_ADDRESS = re.compile(r"(?:\w+://)?\[?(?P<host>[^\s/\[\]]+?)\]?:(?P<port>\d+)")


def check_scheduler(settings: ExecutionSettings) -> None:
    """Refuse a scheduler elsewhere that does not answer, or Slurm without `sbatch`, before long work begins.

    Raises
    ------
    UserError
        If nothing listens at the address, the scheduler file is missing or not one, or `sbatch` is not installed.
    """
    if settings.scheduler == "slurm":
        if shutil.which("sbatch") is None:
            raise UserError('execution.scheduler = "slurm": this machine has no `sbatch`; start on a login node')
        return
    if not settings.remote:
        return
    address = _address_in(Path(settings.scheduler)) if settings.scheduler_file else settings.scheduler
    found = _ADDRESS.fullmatch(address)
    if found is None:  # a scheme of Dask without host and port, such as inproc
        return
    try:
        socket.create_connection((found["host"], int(found["port"])), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"execution.scheduler = {settings.scheduler!r}: no Dask scheduler answers at {address} ({error}); start "
            "one with `dask scheduler`, or correct the address"
        ) from None


def _address_in(file: Path) -> str:
    """Return the address that a scheduler wrote into its file."""
    try:
        return str(json.loads(file.read_text())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"execution.scheduler = {str(file)!r}: no scheduler file of Dask ({error}); start a scheduler with "
            f"`dask scheduler --scheduler-file {file}`"
        ) from None
