"""The job of a command: a run file with its region, grid, checkpoint and stores resolved.

A command opens a `Job` and hands its sections and values down; only the top of a command reads from the run file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import icechunk
import shapely

from model.checkpoint import Checkpoint
from model.shipped import checkpoint_file
from model.year_step.usable import NUMBA, PYTORCH, compiled
from pipeline import config
from pipeline.config import PublicationSettings, RunFile, StoreSettings
from pipeline.cube import layout
from pipeline.digests import content_digest
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings
from pipeline.grid.domain import Domain, domain_of
from pipeline.grid.sinusoidal import Grid
from pipeline.simulate.gpp_draws import NO_DRAWS, Draws
from pipeline.storage import repository as store
from pipeline.storage import s3
from pipeline.years import parse_years
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

    @property
    def stores(self) -> StoreSettings:
        """Locations of the inputs store, the cube and the exports."""
        return self.run_file.stores

    @property
    def execution(self) -> ExecutionSettings:
        """Scheduler, workers, memory, blocks and retries."""
        return self.run_file.execution

    @property
    def publication(self) -> PublicationSettings:
        """Licence and providers of the exports."""
        return self.run_file.publication

    def with_execution(self, settings: ExecutionSettings) -> Job:
        """Return the same job with other settings of its execution."""
        return replace(self, run_file=self.run_file.model_copy(update={"execution": settings}))

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
        """File of the checkpoint."""
        return checkpoint_file(self.run_file.model.checkpoint)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The trained network; raises `CheckpointError`."""
        return Checkpoint.load(self.checkpoint_path)

    @property
    def draws(self) -> Draws:
        """Draws of GPP."""
        model = self.run_file.model
        return (
            Draws(model.gpp_draws, model.gpp_seed, model.gpp_error_km, model.gpp_error_days)
            if model.gpp_draws
            else NO_DRAWS
        )

    @property
    def members(self) -> int:
        """Number of members whose spread is that of the results: all networks with all draws of GPP."""
        return len(self.checkpoint) * max(1, self.draws.count)

    @property
    def network_runs(self) -> int:
        """Number of networks' runs, each with a state of its own: with GPP as it is, and with each draw."""
        return len(self.checkpoint) * (1 + self.draws.count)

    @cached_property
    def identity(self) -> layout.Identity:
        """Identity of the cubes of this run file: a cube made with another one is refused."""
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
            year_step=self.year_step,
            draws=self.draws,
        )

    @cached_property
    def year_step(self) -> str:
        """Year step of the run file; if that is "auto", of the cube; of a new cube, the faster one that works here."""
        wanted = self.run_file.model.year_step
        if wanted != "auto":
            return wanted
        if self.has_cube:
            return layout.identity(store.read(self._open_any_cube())).year_step
        import torch  # takes a second, which most commands can save

        asked = self.execution.device
        # A login node with or without a CUDA device says nothing about workers elsewhere.
        on_cuda = asked == "cuda" or (asked == "auto" and not self.execution.remote and torch.cuda.is_available())
        return PYTORCH if on_cuda or compiled().obstacle else NUMBA

    @property
    def has_cube(self) -> bool:
        """Whether the cube of this run file has been created."""
        return store.exists(self.stores.cube)

    def open_cube(self) -> icechunk.Repository:
        """Open the cube; raises `UserError` if there is none, or if it was made for another region or grid."""
        repository = self._open_any_cube()
        layout.check_identity(layout.identity(store.read(repository)), self.identity)
        return repository

    def log_file(self, command: str) -> Path:
        """Return the path of a new log file: in a folder beside the cube, or beside the run file if that is on S3."""
        cube = self.stores.cube
        folder = self.path.parent / f"{self.path.stem}.logs" if s3.is_remote(cube) else Path(f"{cube}.logs")
        return folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{command}.log"

    def _open_any_cube(self) -> icechunk.Repository:
        return store.open_existing(self.stores.cube, made_by=f"agcarbon run {self.path}")

    def known_years(self) -> tuple[int, ...]:
        """Return the years of the region and those that the cube holds beyond them."""
        held = layout.years(store.read(self.open_cube())) if self.has_cube else []
        return tuple(sorted({*self.region.years, *held}))

    def years(self, text: str | None) -> tuple[int, ...]:
        """Return the years that `--years` names, or all of the region's if it is absent.

        Raises
        ------
        UserError
            If the text is no list of years, or names one before the region's first, where every tile's chain begins.
        """
        if not text:
            return self.region.years
        years, region = parse_years(text), self.region
        if years[0] < region.first_year:
            raise UserError(
                f"--years {text!r}: {years[0]} is before {region.first_year}, the first year of region {region.name}; "
                f"give years from {region.first_year} on"
            )
        return years
