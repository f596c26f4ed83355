"""The lock of a local folder, held by the operating system until the process ends in any way.

It belongs to the folder and not to a spelling of its path: the folder itself is locked, so that a second process that
comes through a symbolic link or a bind mount is refused, even after the lock file was deleted. File systems that lock
no folders, such as NFS, lock the file in it alone; there the holder notices at its next commit that the file is gone.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from pipeline.errors import UserError

FILE = "agcarbon.lock"


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Lock an existing folder; yield a function that raises `UserError` once the lock is lost.

    Raises
    ------
    UserError
        If another process holds the lock, or the file system has none.
    OSError
        If nothing can be written into the folder.
    """
    entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with (folder / FILE).open("a+") as file:
            try:
                whole, by_file = _taken(entry), _taken(file.fileno())
            except BlockingIOError:
                raise UserError(f"{folder}: {_holder(folder)} is writing it; wait, or stop that process") from None
            if not (whole or by_file):
                raise UserError(f"{folder}: its file system has no locks (flock); name a folder on another one")
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield _never_lost if whole else lambda: _check_file(folder, file)
    finally:
        os.close(entry)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block with the same folder, which is made; nothing is left in it.

    On file systems that lock no folders, such as some of NFS, processes do not wait for each other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(entry, fcntl.LOCK_EX)
        yield
    finally:
        os.close(entry)


@contextmanager
def own_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder `.NAME.*.drafts`, which is removed when the block ends, as are those of killed processes.

    A process holds the lock of its folder as long as it runs: one that can be locked belongs to no process.

    Raises
    ------
    OSError
        If nothing can be written into `parent`; its file name is that of `name` there.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.glob(f".{glob.escape(name)}.*drafts"):
            _remove_unless_held(left)
        folder, entry = _new_folder(parent, name)
    except OSError as error:
        error.filename = str(parent / name)
        raise
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(entry)


def _new_folder(parent: Path, name: str) -> tuple[Path, int]:
    """Return a new, locked folder and its descriptor; one that another process removes before it is locked is lost."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".drafts", dir=parent))
        with suppress(FileNotFoundError):
            entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(BlockingIOError):
                _taken(entry)
                if folder.is_dir():
                    return folder, entry
            os.close(entry)


def _remove_unless_held(folder: Path) -> None:
    with suppress(FileNotFoundError):
        entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _taken(entry):
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its process runs
        finally:
            os.close(entry)


def _taken(descriptor: int) -> bool:
    """Lock a file or folder, and return whether its file system can; `BlockingIOError` if another process has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _holder(folder: Path) -> str:
    with suppress(OSError):
        if pid := (folder / FILE).read_text().strip():
            return f"process {pid}"
    return "another process"


def _never_lost() -> None:
    """Return always: the operating system takes no lock away from a running process."""


def _check_file(folder: Path, file: TextIO) -> None:
    """Raise `UserError` if the lock file was deleted or replaced."""
    with suppress(FileNotFoundError):
        if os.path.samestat((folder / FILE).stat(), os.fstat(file.fileno())):
            return
    raise UserError(
        f"{folder}: {FILE} was deleted while this process held its lock, and another one may have taken the folder "
        "over; uncommitted work is discarded; run the command again, and leave that file in place"
    )
