"""A cube as its readers find it: all arrays of one snapshot, and the tile-years that its ledger says are done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cube import layout
from pipeline.cube.layout import Identity, StoredYear
from pipeline.digests import content_digest
from pipeline.grid.sinusoidal import Tile
from pipeline.storage import repository as store
from pipeline.variables import ANNUAL, DAILY
from tests.faults.hooks import CUBE

_OF_A_RUN = ("ledger/seconds", "ledger/cpu_seconds", "ledger/run")  # true of a run, not of its results


@dataclass(frozen=True)
class Recorded:
    """A tile-year that the ledger records."""

    tile: str
    year: int
    fingerprint: str
    checksum: str

    @property
    def key(self) -> str:
        """Names what was computed from what."""
        return f"{self.tile}/{self.year}/{self.fingerprint}"


class Snapshot:
    """One state of a cube; each array is read once, whole, when it is first asked for."""

    def __init__(self, repository: icechunk.Repository, snapshot: str) -> None:
        self.root = store.read(repository, snapshot=snapshot)
        self._read: dict[str, NDArray[np.generic]] = {}

    def values(self, path: str) -> NDArray[np.generic]:
        """Return the array at `path`."""
        if path not in self._read:
            found = store.values(self.root, path)
            self._read[path] = np.array(found.tolist()) if found.dtype.kind == "T" else found  # strings
        return self._read[path]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return all arrays that a run's results decide, by path."""
        paths = [path for path, node in self.root.members(max_depth=None) if isinstance(node, zarr.Array)]
        return {path: self.values(path) for path in paths if path not in _OF_A_RUN}

    def recorded(self) -> dict[tuple[str, int], Recorded]:
        """Return what the ledger records, by tile and year; nothing before the cube has one."""
        if "ledger" not in self.root:
            return {}
        prints, checksums = (self.values(f"ledger/{name}") for name in ("fingerprint", "checksum"))
        names = store.attribute(store.subgroup(self.root, "ledger"), "tiles")
        years = [int(year) for year in self.values("ledger/year")]
        found = {}
        for i, j in zip(*np.nonzero(prints.any(axis=(2, 3))), strict=True):
            one = Recorded(names[j], years[i], prints[i, j].tobytes().hex(), checksums[i, j].tobytes().hex())
            found[one.tile, one.year] = one
        return found

    def checksum(self, one: Recorded) -> str:
        """Digest of the values that the cube holds of a tile-year."""
        tile = Tile.parse(one.tile, cells=self._identity.grid.tile_cells)
        rows, cols = self._identity.grid.window(tile)
        mask = self.values("static/mask")[rows, cols].astype(bool)
        place = one.year - self._identity.first_year
        daily = {v.name: self.values(f"daily/{one.year}/{v.name}")[:, rows, cols][:, mask] for v in DAILY}
        annual = {v.name: self.values(f"annual/{v.name}")[place, rows, cols][mask] for v in ANNUAL}
        return StoredYear(mask, daily, annual).checksum  # type: ignore[arg-type]

    @cached_property
    def _identity(self) -> Identity:
        return layout.identity(self.root)

    def failures(self) -> dict[str, str]:
        """Return the failures that the ledger records."""
        return dict(store.attribute(store.subgroup(self.root, "ledger"), "failures"))


def ancestry(repository: icechunk.Repository) -> Iterator[str]:
    """Yield the snapshots of the main branch, oldest first, without the empty one that every repository begins with."""
    held = list(repository.ancestry(branch=store.BRANCH))
    yield from (snapshot.id for snapshot in reversed(held) if snapshot.parent_id is not None)


def differences(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return in words which arrays of a cube differ from those of the undisturbed one, in any bit."""
    wrong = [f"{path} is in one cube only" for path in sorted(found.keys() ^ wanted.keys())]
    for path in sorted(found.keys() & wanted.keys()):
        if found[path].shape != wanted[path].shape:
            wrong.append(f"{path} has shape {found[path].shape}, undisturbed {wanted[path].shape}")
        elif found[path].tobytes() != wanted[path].tobytes():
            same = np.isclose(found[path], wanted[path], rtol=0, atol=0, equal_nan=True)
            wrong.append(f"{path} differs in {np.count_nonzero(~same)} values")
    return wrong


def save_differences(location: Path, wanted: Mapping[str, NDArray[Any]], target: Path) -> None:
    """Write which arrays of the cube at `location` differ from those `wanted`."""
    repository = store.open_existing(str(location), made_by="agcarbon run")
    target.write_text(json.dumps(differences(Snapshot(repository, store.tip(repository)).arrays(), wanted)))


def save_numbers(folder: Path, target: Path) -> None:
    """Write digests of the numbers that users get: exported maps and tables, and checksums of the ledger."""
    import rasterio

    numbers = {path.name: content_digest(path.read_bytes()) for path in (folder / "exports").rglob("*.csv")}
    for path in (folder / "exports").rglob("*.tif"):
        with rasterio.open(path) as source:
            numbers[path.name] = content_digest(source.read())
    repository = store.open_existing(str(folder / CUBE), made_by="agcarbon run")
    newest = Snapshot(repository, store.tip(repository))
    numbers |= {one.key: one.checksum for one in newest.recorded().values()}
    target.write_text(json.dumps(numbers))


def exported(folder: Path) -> dict[str, str]:
    """Return digests of the exported files of a job that a user sees, by path."""
    exports = folder / "exports"
    files = {path.relative_to(exports): path for path in exports.rglob("*") if path.is_file()}
    seen = {name: path for name, path in files.items() if not any(part.startswith(".") for part in name.parts)}
    return {str(name): content_digest(path.read_bytes()) for name, path in sorted(seen.items())}


def save(location: Path, target: Path) -> None:
    """Write the arrays (`.npz`), and the checksums and names of releases (`.json`), of a cube."""
    repository = store.open_existing(str(location), made_by="agcarbon run")
    newest = Snapshot(repository, store.tip(repository))
    np.savez(target.with_suffix(".npz"), **newest.arrays())  # type: ignore[arg-type]
    checksums = {one.key: one.checksum for one in newest.recorded().values()}
    known = {"checksums": checksums, "releases": sorted(repository.list_tags())}
    target.with_suffix(".json").write_text(json.dumps(known))
