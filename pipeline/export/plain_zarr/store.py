"""Export of the cube to a plain Zarr store, in a folder or bucket, which any reader of Zarr v3 opens without Icechunk.

Only parts whose results changed are written: each tile-year has a record with the digest of its results in the ledger.
A store has no transactions: its metadata documents are removed before anything changes, and written at the end, the one
of the root last. A store that is being written, or whose export was killed, does not open; the next export resumes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import zarr

from pipeline.cluster.executor import Executor, Outcome, until_fatal
from pipeline.cube import layout
from pipeline.cube.history import resolve
from pipeline.cube.ledger import Ledger
from pipeline.digests import json_digest
from pipeline.errors import UserError
from pipeline.export.attributes import global_attributes
from pipeline.export.plain_zarr.layout import DOCUMENT, ZarrCube
from pipeline.export.plain_zarr.parts import MASKS, OVERVIEWS, RECORDS, Context, Part, write_part
from pipeline.export.stac import write_catalog
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run.provenance import Records, read_records
from pipeline.storage import files as outputs
from pipeline.storage import repository as store
from pipeline.storage import s3
from pipeline.storage.retry import RetryPolicy

log = logging.getLogger(__name__)

FORMAT = 1  # of the store: another one makes all parts anew
_STATE = f"{RECORDS}/store.json"
_FORMAT_2 = (".zgroup", ".zarray")  # documents of the root in Zarr format 2


@dataclass(frozen=True)
class ZarrReport:
    """Result of an export.

    Attributes
    ----------
    location
        The store.
    written, kept
        Numbers of tile-years, masks and overviews of a year that were written, or were there with the same content.
    size_bytes
        Size of the chunks written.
    catalog
        Location of the STAC catalogue of the folder that the store lies in.
    notes
        Deficiencies that whoever uses the store must know.
    failures
        Parts that could not be written, with the reasons.
    stopped
        Whether the export ended early, because a stop was requested.
    """

    location: str
    written: int
    kept: int
    size_bytes: int
    catalog: str
    notes: tuple[str, ...]
    failures: Mapping[str, str]
    stopped: bool

    @property
    def complete(self) -> bool:
        """Whether the store opens, with all that it should hold."""
        return not self.failures and not self.stopped

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; docs/json.md has the keys."""
        return {**asdict(self), "complete": self.complete}


def place_of(job: Job, given: str | None) -> str:
    """Return the place of a store, by default among the exports; raises `UserError` if it cannot be one."""
    place = (given or outputs.join(job.stores.exports, "zarr", f"{job.region.name}.zarr")).rstrip("/")
    if fault := s3.fault(place) or (None if place.endswith(".zarr") else "name a store that ends in .zarr"):
        raise UserError(f"--output: {fault}")
    return place


def export_zarr(
    job: Job, executor: Executor, location: str, *, at: str | None = None, progress: Progress = silent
) -> ZarrReport:
    """Write the annual layers with overviews and the daily fluxes of all years with results as a plain Zarr store.

    The STAC catalogue of the folder that the store lies in is written with it.

    Parameters
    ----------
    job
        The run file.
    executor
        Writes the parts.
    location
        Folder, or s3://bucket/prefix: a new one, or that of an earlier export of the same cube, which is updated.
    at
        Release or snapshot of the cube; its newest state if None.
    progress
        Called with the number of parts after each.

    Raises
    ------
    UserError
        If the cube has no results or was never in that state; if the location holds something else, or another
        process writes it; or if nothing more can be written there.
    """
    repository = job.open_cube()
    snapshot = resolve(repository, at) if at else store.tip(repository)
    root = store.read(repository, snapshot=snapshot)
    records = read_records(job, root, newest=at is None)
    wanted = list(_wanted(root, records))
    target = ZarrCube.of(root, with_results=(record.year for record in records.years))
    documents = target.documents(global_attributes(job, root, snapshot, records))
    context = Context(job.stores.cube, snapshot, location, target, RetryPolicy(job.execution.retries))
    done = _Done()
    with store.sole_writer(outputs.join(location, RECORDS)) as verify:
        state = _State.read(location, json_digest(layout.identity(root).as_json()))
        parts = list(_outdated(wanted, state.records(), edge=target.grid.tile_cells))
        if parts or not state.shows(documents):
            state.hide(documents, years=target.years)
            done.run(parts, executor.map(partial(write_part, context), parts), location, progress)
            verify()
            if not done.failures and not executor.stop.asked:
                state.show(documents)
    catalog = write_catalog(outputs.parent(location), job.publication)
    return ZarrReport(
        location=location,
        written=sum(part.digest is not None for part in done.written),
        kept=len(wanted) - sum(part.digest is not None for part in parts),
        size_bytes=done.size_bytes,
        catalog=catalog.location,
        notes=(*records.notes(), *catalog.notes()),
        failures=done.failures,
        stopped=executor.stop.asked,
    )


def _wanted(root: zarr.Group, records: Records) -> Iterator[Part]:
    """Yield the parts of a complete store: masks, tile-years, and the overviews of each year."""
    planned = layout.tiles(root) or ()
    ledger = Ledger(root)
    masks = {each.tile: each.mask for each in planned}
    for tile, mask in masks.items():
        yield Part(tile, None, json_digest([FORMAT, mask]))
    for record in records.years:
        digests = {tile: _digest(ledger, tile, record.year, masks[tile]) for tile in record.tiles}
        for tile, digest in digests.items():
            yield Part(tile, record.year, digest)
        yield Part(None, record.year, json_digest(list(digests.values())), tiles=record.tiles)


def _digest(ledger: Ledger, tile: Tile, year: int, mask: str) -> str:
    return json_digest([FORMAT, mask, ledger.tiles_digest(year, [tile.name])])


def _outdated(wanted: Iterable[Part], there: Mapping[str, frozenset[str]], *, edge: int) -> Iterator[Part]:
    """Yield the parts to write or remove, given the digests that the store has records of, by key of the part."""
    keys = set()
    for part in wanted:
        keys.add(part.key)
        found = there.get(part.key, frozenset())
        if found != {part.digest}:
            yield replace(part, outdated=_names(part.key, found))
    for key in sorted(there.keys() - keys):
        yield replace(_parsed(key, edge=edge), outdated=_names(key, there[key]))


def _names(key: str, digests: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{key}.{digest}" for digest in sorted(digests))


def _parsed(key: str, *, edge: int) -> Part:
    """Return the part of a record, without content."""
    group, _, name = key.partition("/")
    if group == OVERVIEWS:
        return Part(None, int(name), None)
    return Part(Tile.parse(name, cells=edge), None if group == MASKS else int(group), None)


@dataclass(frozen=True)
class _State:
    """Content of a location: the cube that earlier exports wrote there, its years, and its metadata documents."""

    location: str
    identity: str
    years: tuple[int, ...] = ()
    documents: tuple[str, ...] = ()

    @classmethod
    def read(cls, location: str, identity: str) -> _State:
        """Return the state of a location; raises `UserError` if it holds anything but an export of this cube."""
        stored = outputs.read(outputs.join(location, _STATE))
        if stored is None:
            if any(outputs.read(outputs.join(location, name)) is not None for name in (DOCUMENT, *_FORMAT_2)):
                raise UserError(f"{location}: a Zarr store of another program is there; name another location")
            return cls(location, identity)
        found = json.loads(stored)
        if found["identity"] != identity:
            raise UserError(
                f"{location}: it holds a cube of another region, grid or setting; name another location, or remove it"
            )
        return cls(location, identity, tuple(found["years"]), tuple(found["documents"]))

    def records(self) -> dict[str, frozenset[str]]:
        """Return the digests that there are records of, by key of the part."""
        found: dict[str, frozenset[str]] = {}
        for group in (MASKS, OVERVIEWS, *map(str, self.years)):
            for location in outputs.listed(outputs.join(self.location, RECORDS, group), suffix=""):
                name, _, digest = outputs.name_of(location).partition(".")
                if name:  # else a file that was being written
                    key = f"{group}/{name}"
                    found[key] = found.get(key, frozenset()) | {digest}
        return found

    def shows(self, documents: Mapping[str, bytes]) -> bool:
        """Return whether the store opens, with these metadata."""
        return outputs.read(outputs.join(self.location, DOCUMENT)) == documents[DOCUMENT]

    def hide(self, documents: Iterable[str], *, years: Iterable[int]) -> None:
        """Remove all metadata documents, so that nothing opens; `documents` and `years` are those to come."""
        known = sorted({*self.documents, *(key for key in documents if key.endswith(DOCUMENT))}, key=_from_root)
        content = {"identity": self.identity, "years": sorted({*self.years, *years}), "documents": known}
        outputs.write(outputs.join(self.location, _STATE), json.dumps(content).encode())
        for key in known:
            outputs.remove(outputs.join(self.location, key))

    def show(self, documents: Mapping[str, bytes]) -> None:
        """Write coordinates and metadata documents, that of the root last."""
        for key in sorted(documents, key=lambda key: (key.endswith(DOCUMENT), -key.count("/"))):
            outputs.write(outputs.join(self.location, key), documents[key])


def _from_root(key: str) -> tuple[int, str]:
    return key.count("/"), key


@dataclass
class _Done:
    """Parts that were written, bytes of their chunks, and the failures of others by name."""

    written: list[Part] = field(default_factory=list)
    size_bytes: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def run(
        self, parts: Sequence[Part], outcomes: Iterable[Outcome[Part, int]], place: str, progress: Progress
    ) -> None:
        """Take in the outcomes of parts."""
        progress("tile-years", 0, len(parts))
        for outcome in until_fatal(outcomes, place):
            if outcome.result is None:
                self.failures[outcome.item.name] = outcome.error or "unknown error"
                log.warning("failed: %s: %s", outcome.item.name, outcome.error)
            else:
                self.written.append(outcome.item)
                self.size_bytes += outcome.result
            progress("tile-years", len(self.written), len(parts), len(self.failures))
