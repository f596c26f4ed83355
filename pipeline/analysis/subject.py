"""The subject of an analysis: a state of a cube, the years that are analysed, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.access.dataset import OpenCube
from pipeline.analysis.cells import TileCells
from pipeline.cube import layout
from pipeline.cube.results import CheckedYear
from pipeline.grid.coverage import Polygons, outlines
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.inputs.report import is_synthetic
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.job import Job
from pipeline.storage import repository
from pipeline.years import spans
from regions import Region, Zone, zones

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Options:
    """Data and choices beyond the cube.

    Attributes
    ----------
    data
        Folder of observations, laid out as in docs/analyses/README.md; None if there are none.
    fields, label
        Vector file of field polygons and the column that names them.
    price
        Price of soil carbon [USD per t CO2e].
    every_cell
        Whether aggregated inputs count all cells with GPP in the store, not only the modelled ones.
    """

    data: Path | None = None
    fields: Path | None = None
    label: str | None = None
    price: float = 30.0
    every_cell: bool = False


@dataclass(frozen=True, eq=False)
class Subject:
    """A state of a cube and the years that are analysed.

    Attributes
    ----------
    job
        The run file.
    cube
        The cube, opened at a release, a snapshot or its newest state.
    years
        Calendar years with results, ascending.
    options
        Data and choices beyond the cube.
    """

    job: Job
    cube: OpenCube
    years: tuple[int, ...]
    options: Options = field(default_factory=Options)

    @classmethod
    def open(
        cls, job: Job, *, years: str | None = None, at: str | None = None, options: Options | None = None
    ) -> Subject:
        """Open the cube of a run file; raises `UserError` if it has no results, or none of one of the years."""
        job.open_cube()  # refuses a cube of another region
        cube = OpenCube.at(job.stores.cube, at)
        return cls(job, cube, cube.chosen(job.years(years) if years else None), options or Options())

    @property
    def region(self) -> Region:
        """Region of the cube."""
        return self.job.region

    @property
    def grid(self) -> Grid:
        """Cells of the cube."""
        return self.cube.grid

    @cached_property
    def zones(self) -> tuple[Zone, ...]:
        """Counties of the region."""
        return zones(self.region)

    @cached_property
    def _outlines(self) -> Polygons:
        return outlines(self.zones)

    @cached_property
    def inputs(self) -> InputsView:
        """The inputs store at its newest state; raises `UserError` if there is none."""
        return open_inputs(self.job.stores.inputs)

    @property
    def has_inputs(self) -> bool:
        """Whether there is an inputs store."""
        return repository.exists(self.job.stores.inputs)

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles with modelled cells and a result in one of the years."""
        ledger = self.cube.ledger
        return tuple(
            planned.tile
            for planned in layout.tiles(self.cube.root) or ()
            if any(ledger.recorded(planned.tile.name, year) for year in self.years)
        )

    def cells(self) -> Iterator[TileCells]:
        """Yield the modelled cells of each tile with a result, one tile in memory at a time."""
        for tile in self.tiles:
            yield TileCells.of(tile, self.grid, self._outlines, self._results(tile))

    def _results(self, tile: Tile) -> dict[int, CheckedYear | None]:
        ledger = self.cube.ledger
        return {
            year: CheckedYear(self.cube.root, year) if ledger.recorded(tile.name, year) else None for year in self.years
        }

    def soil(self, cells: TileCells, name: str) -> NDArray[np.float64]:
        """Return a soil variable of the inputs store at the cells of a tile (N,), NaN where it is unknown."""
        where = self.inputs.grid.window(cells.tile)
        found = repository.part(self.inputs.root, f"soil/{name}", where)[cells.mask]
        return np.asarray(found, np.float64)

    @cached_property
    def synthetic(self) -> bool:
        """Whether archives of the run file were made by the demo; False, too, where the archives are gone."""
        return any(map(is_synthetic, self.job.run_file.archives.by_product.values()))

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """Region, years, state of the cube, weights and archives, as JSON values."""
        facts, runs = self.cube.attributes(), self.cube.ledger.runs
        return {
            "region": self.region.title,
            "years": list(self.years),
            "cube": facts["cube"],
            "snapshot": facts["snapshot"],
            "release": facts["release"],
            "checkpoint_origin": facts["checkpoint_origin"],
            "checkpoint_sha256": sorted({str(run.get("checkpoint", {}).get("sha256", "unknown")) for run in runs}),
            "archives": SYNTHETIC if self.synthetic else "as downloaded",
            "incomplete": list(self.cube.incomplete(self.years)),
        }

    @cached_property
    def caption(self) -> str:
        """Provenance in a line, for figures: synthetic or not comes first."""
        facts = self.provenance
        release = facts["release"]
        state = f"release {release}" if release != "none" else f"snapshot {facts['snapshot'][:8]}"
        archives = ["SYNTHETIC archives"] if self.synthetic else []
        missing = [f"{len(facts['incomplete'])} years with missing tiles"] if facts["incomplete"] else []
        return "; ".join([*archives, f"{self.region.title}, {spans(self.years)}", state, *missing,
                          f"network weights: {facts['checkpoint_origin']}"])  # fmt: skip
