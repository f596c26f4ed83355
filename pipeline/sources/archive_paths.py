"""Archives keep to their folders: what lies in one is not read through links that lead out of it, nor past `..`.

A download, or a folder that many can write to, may hold anything. The folder itself, which the run file names, may be a
link.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

from pipeline.errors import UserError


def inside(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Return the paths in order, all of which lie below `folder` once links are followed.

    Raises
    ------
    UserError
        Naming the first that does not, and where it leads.
    """
    real_folder = cache(Path.resolve)  # of a year's thousands of files, which lie in few folders
    root, found = real_folder(folder), sorted(paths)
    for path in found:
        real = path.resolve() if path.is_symlink() or path.name == ".." else real_folder(path.parent) / path.name
        if not real.is_relative_to(root):
            raise UserError(
                f"{path}: leads to {real}, outside the archive's folder; copy it there, or name in the run file the "
                f"folder in which it lies (which may be a link itself)"
            )
    return found


def check_member(archive: Path, name: str) -> None:
    """Raise `UserError` for a member of a zip archive whose name leads out of it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")):
        raise UserError(f"{archive}: holds {name!r}, which leads out of the archive; do not use this file")
