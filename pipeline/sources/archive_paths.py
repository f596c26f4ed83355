"""Guard of archive folders: files are not read through links or `..` that lead out of the folder.

A download, or a folder that many can write to, may contain anything. The folder itself, which the run file names, may
be a link.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from pipeline.errors import UserError


def inside(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Return the sorted paths, all of which lie below `folder` once links are resolved.

    Raises
    ------
    UserError
        Naming the first that does not, and its target.
    """
    real_folder = cache(Path.resolve)  # a year has thousands of files in a few folders
    root, found = real_folder(folder), sorted(paths)
    for path in found:
        real = path.resolve() if path.is_symlink() or path.name == ".." else real_folder(path.parent) / path.name
        if not real.is_relative_to(root):
            raise UserError(
                f"{path}: leads to {real}, outside the archive's folder; copy it there, or give the folder that "
                f"contains it (which may itself be a link) in the run file"
            )
    return found


def check_member(archive: Path, name: str) -> None:
    """Raise `UserError` for a member of a zip archive whose name leads out of it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")):
        raise UserError(f"{archive}: contains {name!r}, which leads out of the archive; do not use this file")
