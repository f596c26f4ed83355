"""What every command starts from: the run file with its region, grid, checkpoint and stores resolved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import icechunk
import shapely

from model.checkpoint import Checkpoint
from model.shipped import checkpoint_file
from pipeline import config
from pipeline.config import RunFile
from pipeline.cube import layout
from pipeline.digests import content_digest
from pipeline.errors import UserError
from pipeline.grid.domain import Domain, domain_of
from pipeline.grid.sinusoidal import Grid
from pipeline.storage import repository as store
from regions import Region, load_region, zones


@dataclass(frozen=True)
class Job:
    """A run file, opened."""

    path: Path
    run_file: RunFile
    region: Region

    @classmethod
    def open(cls, path: Path) -> Job:
        """Read a run file and its region; raises `UserError` or `RegionError`."""
        run_file = config.load(path)
        return cls(path, run_file, load_region(run_file.region))

    @cached_property
    def domain(self) -> Domain:
        """The region's grid and the tiles that meet it."""
        return domain_of(self.region)

    @property
    def grid(self) -> Grid:
        """The region's rectangle of tiles."""
        return self.domain.grid

    @property
    def checkpoint_path(self) -> Path:
        """The checkpoint's file."""
        return checkpoint_file(self.run_file.model.checkpoint)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The trained network; raises `CheckpointError`."""
        return Checkpoint.load(self.checkpoint_path)

    @cached_property
    def identity(self) -> layout.Identity:
        """What a cube of this run file is of."""
        region = self.region
        outlines = (zone.fips.encode() + shapely.to_wkb(zone.geometry) for zone in zones(region))
        return layout.Identity(
            region=region.name,
            boundary=content_digest(*outlines),
            grid=self.grid,
            first_year=region.first_year,
            mask_years=region.mask_years,
            crop_threshold=region.crop_threshold,
            precision=self.run_file.model.precision,
        )

    def open_cube(self) -> icechunk.Repository:
        """Open the cube of this run file; raises `UserError` if there is none, or one of something else."""
        repository = store.open_existing(self.run_file.stores.cube, made_by=f"agcarbon run {self.path}")
        layout.check_identity(layout.identity(store.read(repository)), self.identity)
        return repository

    def known_years(self) -> tuple[int, ...]:
        """Return the region's years and those that the cube holds beyond them."""
        location = self.run_file.stores.cube
        held = layout.years(store.read(self.open_cube())) if store.exists(location) else []
        return tuple(sorted({*self.region.years, *held}))

    def years(self, text: str | None) -> tuple[int, ...]:
        """Return the years named by `2012`, `2010-2012` or `2010,2012`, or the region's; raises `UserError`."""
        if not text:
            return self.region.years
        try:
            spans = [[int(part) for part in span.split("-", 1)] for span in text.split(",")]
        except ValueError:
            raise UserError(f"--years {text!r}: give 2012, 2010-2012 or 2010,2012") from None
        years = {year for span in spans for year in range(span[0], span[-1] + 1)}
        if not years or min(years) < self.region.first_year:
            raise UserError(f"--years {text!r}: region {self.region.name} begins in {self.region.first_year}")
        return tuple(sorted(years))
