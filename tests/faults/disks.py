"""Disks that fill up and folders that can't be written: by mounts where the user may mount, else as any user can."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

PLENTY = 2**28


@cache
def can_mount() -> bool:
    """Say whether this process may mount: root with CAP_SYS_ADMIN."""
    if os.geteuid() != 0:
        return False
    with TemporaryDirectory() as folder:
        if not _ran("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder):
            return False
        return _ran("umount", folder)


def _ran(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Have `folder` be a disk of `size` bytes with what was in it; see `enlarge`."""
    before = folder.with_name("before")
    folder.rename(before)
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        _run("cp", "-r", f"{before}/.", str(folder))
        yield
    finally:
        _run("umount", "-l", str(folder))


def enlarge(folder: Path) -> None:
    """Make space on a small disk."""
    _run("mount", "-o", f"remount,size={PLENTY}", str(folder))


def limit_files(size: int) -> None:
    """Have this process fail to make any file longer than `size` (EFBIG): what can be had without mounting."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def forbid_writing(folder: Path) -> None:
    """Make `folder` and all in it read-only."""
    if can_mount():
        _run("mount", "--bind", str(folder), str(folder))
        _run("mount", "-o", "remount,ro,bind", str(folder))
    else:
        _run("chmod", "-R", "a-w", str(folder))


def allow_writing(folder: Path) -> None:
    """Undo `forbid_writing`."""
    if can_mount():
        _run("umount", "-l", str(folder))
    else:
        _run("chmod", "-R", "u+w", str(folder))
