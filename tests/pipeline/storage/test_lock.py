"""The lock is of the folder: no other path to it, and no deleted file, lets a second process in."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.storage import lock
from pipeline.storage import repository as store

ASK = """
import sys
from pipeline.storage import repository as store
try:
    with store.sole_writer(sys.argv[1]):
        print("taken")
except store.UserError as error:
    print(error)
"""


def asked(location: Path | str, *, cwd: Path | None = None) -> str:
    """Answer to a second process that asks for the lock."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", ASK, str(location)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd, env=environment).stdout


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process holds."""
    with store.sole_writer(str(tmp_path / "store")):
        yield tmp_path / "store"


def test_a_second_process_is_refused_through_every_other_path(held: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(held)
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    for other in (tmp_path / "link", tmp_path / "elsewhere" / "store", f"{held}/", f"{held}/../store/."):
        assert f"process {os.getpid()} is writing it" in asked(other), other
    assert "is writing it" in asked("store", cwd=tmp_path)


def test_a_second_process_is_refused_after_the_lock_file_was_deleted(held: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(held)
    (held / lock.FILE).unlink()
    for other in (held, tmp_path / "link"):
        assert "another process is writing it" in asked(other)


def test_a_lock_that_was_given_up_is_free_and_its_file_stays(tmp_path: Path) -> None:
    with store.sole_writer(str(tmp_path / "a")) as still_held:
        still_held()
    assert (tmp_path / "a" / lock.FILE).exists()
    assert asked(tmp_path / "a") == "taken\n"


def refusing(of: Callable[[int], bool]) -> Callable[[int, int], None]:
    """A flock of a file system that has no locks on some of its entries."""
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if of(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(descriptor, operation)

    return flock


def test_where_folders_have_no_lock_the_file_is_locked_and_its_loss_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(stat.S_ISDIR))
    with store.sole_writer(str(tmp_path)) as still_held:
        assert "is writing it" in asked(tmp_path)
        still_held()
        (tmp_path / lock.FILE).unlink()
        with pytest.raises(UserError, match="was deleted while this process held its lock"):
            still_held()
        (tmp_path / lock.FILE).touch()  # of another process
        with pytest.raises(UserError, match="was deleted while this process held its lock"):
            still_held()


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(lambda _: True))
    with pytest.raises(UserError, match="its file system has no locks"), store.sole_writer(str(tmp_path)):
        pass


def test_a_repository_is_created_under_its_lock(tmp_path: Path) -> None:
    location = str(tmp_path / "a")
    with store.sole_writer(location):
        store.create(location)
        assert "is writing it" in asked(location)
    assert {"refs", lock.FILE} <= {entry.name for entry in Path(location).iterdir()}
    assert "creating" not in {entry.name for entry in Path(location).iterdir()}
