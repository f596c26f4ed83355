"""A cube with its exported Zarr store and the page over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.cluster.executor import Serial
from pipeline.export.plain_zarr.store import export_zarr
from pipeline.view.files import page_files
from tests.helpers.filled_cube import Filled


@dataclass(frozen=True)
class Published:
    """A cube, its exported store, and the files of its page."""

    filled: Filled
    store: Path
    page: dict[str, bytes]

    @classmethod
    def of(cls, filled: Filled) -> Published:
        """Export a cube, and make the files."""
        job = filled.job
        store = Path(job.stores.exports) / "zarr" / f"{job.region.name}.zarr"
        export_zarr(job, Serial(), str(store))
        return cls(filled, store, page_files(store, job.region))
