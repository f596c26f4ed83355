"""The demo with every cell modelled: realistic fluxes, inputs and states without the gaps between fields.

The region is the demo's box with a threshold of 0, so that each cell with soil data is run with the shipped checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline import config
from pipeline.aggregate.write import aggregate_cube
from pipeline.cluster.executor import Serial
from pipeline.config import RunFile, StoreSettings
from pipeline.cube import layout, restarts
from pipeline.demo.archives import write_archives
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.inputs.layout import CLIMATE
from pipeline.inputs.view import open_inputs
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.run.tile_inputs import tile_mask
from pipeline.storage import repository
from pipeline.variables import ANNUAL, DAILY
from regions import load_region

YEAR = 2012
REGION = """
title = "The demo's box, every cell modelled"
bbox = [-89.62, 39.905, -89.38, 40.095]
first_year = 2010
last_year = 2012
mask_years = [2010, 2011, 2012]
crop_threshold = 0.0
tile_cells = 48
"""

Array = NDArray[Any]


@dataclass(frozen=True)
class EveryCell:
    """Values of `YEAR` on the demo's grid as they are stored; NaN or missing where a cell has no soil or crop data.

    Attributes
    ----------
    daily
        Fluxes (T, Y, X).
    gpp
        Integers (T, Y, X).
    climate
        Daily series (T, lat, lon).
    annual
        Layers (Y, X).
    states
        State (layer, unit, N) of each tile.
    group_bytes
        Bytes of the chunks of soil, and of a year of the crops and of the aggregates.
    modelled, some_crops
        Cells (Y, X) that the demo models, and those of its tiles with at least a tenth of corn and soybean.
    """

    daily: tuple[Array, ...]
    gpp: Array
    climate: tuple[Array, ...]
    annual: tuple[Array, ...]
    states: tuple[Array, ...]
    group_bytes: dict[str, int]
    modelled: NDArray[np.bool_]
    some_crops: NDArray[np.bool_]


def every_cell(folder: Path) -> EveryCell:
    """Return the fields, computed in `folder` unless they are there."""
    job, demo = _job(folder), load_region("demo")
    root, view = repository.read(job.open_cube()), open_inputs(job.stores.inputs)
    modelled = np.zeros(view.grid.shape, bool)
    some_crops = modelled.copy()
    for tile in job.domain.tiles:
        window = view.grid.window(tile)
        modelled[window] = tile_mask(demo, view, view.grid.of(tile)).mask
        shares = np.stack([view.crop_fractions(tile, year) for year in demo.mask_years]).sum(axis=1).mean(axis=0)
        some_crops[window] = shares >= 0.1
    return EveryCell(
        tuple(repository.values(root, f"daily/{YEAR}/{variable.name}") for variable in DAILY),
        repository.values(view.root, f"gpp/{YEAR}/gpp"),
        tuple(repository.values(view.root, f"climate/{YEAR}/{variable.name}") for variable in CLIMATE),
        tuple(repository.values(root, f"annual/{variable.name}")[-1] for variable in ANNUAL),
        tuple(
            restarts.read_restart(root, planned.tile, YEAR, cells=planned.cells).state_SNH.transpose(0, 2, 1)
            for planned in layout.tiles(root) or ()
        ),
        {
            "soil": _stored_bytes(view.root, "soil"),
            "crop": _stored_bytes(view.root, f"crop/{YEAR}"),
            "aggregates": _stored_bytes(root, "aggregates"),
        },
        modelled,
        some_crops,
    )


def _stored_bytes(root: zarr.Group, path: str) -> int:
    """Return the bytes of all chunks of a group; of the aggregates, `YEAR` is the only one."""
    members = repository.subgroup(root, path).members(max_depth=None)
    return sum(layer.nbytes_stored() for _, layer in members if isinstance(layer, zarr.Array))


def _job(folder: Path) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "archives").exists():
        write_archives(folder / "partial")
        (folder / "partial").rename(folder / "archives")
    (folder / "every-cell.toml").write_text(REGION)
    stores = StoreSettings(inputs="inputs.icechunk", cube="cube.icechunk", exports="exports")
    (folder / "run.toml").write_text(config.dump(RunFile(region="every-cell.toml", stores=stores)))
    job = Job.open(folder / "run.toml")
    ingest(plan_ingest(job.run_file), executor=Serial())
    run(job, Serial(), years=(YEAR,))
    aggregate_cube(job, Serial())
    return job
