"""Two tiles to measure, with inputs stores as `agcarbon ingest` leaves them: one of the demo, one as in the Midwest.

The demo's archives are generated and ingested. The large tile, of 240 x 240 cells, repeats the demo's fields as mirror
images; corn and soybean are kept in patches only, so that 22 % of its cells are modelled, as on average in the Midwest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipeline import config
from pipeline.cluster.executor import Serial
from pipeline.config import RestartSettings, RunFile
from pipeline.cube import layout, ledger
from pipeline.cube.layout import TileMask
from pipeline.demo.archives import write_archives
from pipeline.execution import ExecutionSettings
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.inputs import layout as inputs_layout
from pipeline.inputs.layout import ON_GRID, Extent
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.job import Job
from pipeline.run.tile_inputs import tile_mask
from pipeline.simulate.crops import first_crop, modelled
from pipeline.storage import cf, repository
from tests.helpers.commits import transaction
from tests.helpers.random_inputs import Fields, write_inputs

SHARE = 0.22  # modelled cells of the large tile: 10.0 M of the 44.4 M in the Midwest's tiles
_EDGE, _PATCH_CELLS = 240, 4  # cells of the large tile's edge, and standard deviation of the noise behind the patches
_PLACE = (23890, 53410)  # row and column of the grid inside the large tile
_REGION = """
title = "One cell, and the tile of 240 x 240 around it"
bbox = [{:.5f}, {:.5f}, {:.5f}, {:.5f}]
first_year = 2010
last_year = 2012
mask_years = [2010, 2011, 2012]
tile_cells = 240
"""


@dataclass(frozen=True)
class Subject:
    """A tile to measure: its job, whose inputs store is complete and whose cube has masks but no results."""

    name: str
    job: Job
    tile: Tile
    mask: TileMask

    @property
    def cells(self) -> int:
        """Number of modelled cells."""
        return self.mask.cells


def demo_tile(folder: Path) -> Subject:
    """Write and ingest the demo's archives; return its tile with the most modelled cells."""
    write_archives(folder / "archives")
    job = _job(folder, region="demo")
    report = ingest(plan_ingest(job.run_file, years=job.region.years), executor=Serial())
    assert not report.failures
    view = open_inputs(job.stores.inputs)
    masks = {tile: tile_mask(job.region, view, job.grid.of(tile)) for tile in job.domain.tiles}
    tile = max(masks, key=lambda tile: masks[tile].cells)
    _make_cube(job, tile, masks[tile])
    return Subject("demo, 48 x 48", job, tile, masks[tile])


def large_tile(folder: Path, demo: Job) -> Subject:
    """Return a tile of 240 x 240 cells, 22 % of them modelled, with inputs made from those of the demo."""
    folder.mkdir()
    longitude, latitude = (float(axis[0, 0]) for axis in Grid(*_PLACE, 1, 1, 1).lonlat())
    (folder / "one.toml").write_text(
        _REGION.format(longitude - 1e-4, latitude - 1e-4, longitude + 1e-4, latitude + 1e-4)
    )
    job = _job(folder, region="one.toml")
    extent, view = Extent.of(job.region), open_inputs(demo.stores.inputs)
    (tile,) = job.domain.tiles
    patches = _patches(view, extent)

    def layers_of(product: str, year: int | None) -> dict[str, NDArray[Any]]:
        layers = _mirrored(view, product, year, extent=extent)
        if product == "crop":
            layers |= {name: np.where(patches, layers[name], 0) for name in ("corn_fraction", "soybean_fraction")}
        return layers

    gpp = repository.array(view.root, f"gpp/{demo.region.first_year}/gpp")
    write_inputs(job, Fields(given=layers_of, gpp_scale=cf.Packing.of(gpp).scale), years=demo.region.years)
    mask = _mask(job, tile)
    _make_cube(job, tile, mask)
    return Subject("240 x 240, 22 %", job, tile, mask)


def _job(folder: Path, *, region: str) -> Job:
    """Return a job that runs in this process and keeps the state of the last year."""
    path = folder / "run.toml"
    path.write_text(
        config.dump(
            RunFile(
                region=region,
                execution=ExecutionSettings(scheduler="serial", device="cpu"),
                restart=RestartSettings(last=1, every=5),
            )
        )
    )
    return Job.open(path)


def _mask(job: Job, tile: Tile) -> TileMask:
    """Return the mask by the rule of `tile_mask`, with the whole tile inside the region."""
    view = open_inputs(job.stores.inputs)
    fractions_Y2 = np.stack([view.crop_fractions(tile, year) for year in job.region.mask_years])
    mask = view.soil_defined(tile) & modelled(fractions_Y2, job.region.crop_threshold)
    return TileMask(mask, first_crop(fractions_Y2[..., mask], job.region.crop_threshold))


def _make_cube(job: Job, tile: Tile, mask: TileMask) -> None:
    """Write a cube whose one modelled tile this is."""
    with transaction(repository.create(job.stores.cube), "structure") as root:
        layout.create(root, job.identity)
        layout.write_mask(root, tile, mask)
        layout.set_tiles(root, {tile: (mask.cells, mask.digest)})
        ledger.create(root, [tile.name])


def _mirrored(view: InputsView, product: str, year: int | None, *, extent: Extent) -> dict[str, NDArray[Any]]:
    """Return the layers of a product-year of the demo as stored, repeated as mirror images over another extent."""
    group = repository.subgroup(view.root, inputs_layout.group_name(product, year))
    names = [variable.name for variable in ON_GRID[product]] if product in ON_GRID else _climate_names()
    if product in ON_GRID:
        rows, cols, shape = *_ingested(view), extent.grid.shape
    else:
        rows, cols, shape = slice(None), slice(None), (extent.window.rows, extent.window.cols)
    layers = {}
    for name in names:
        values = repository.values(group, name)
        axis = 0 if name == "digest" else values.ndim - 2  # of the rows
        part = values[(slice(None),) * axis + (rows, cols)]
        widths = [(0, 0)] * values.ndim
        widths[axis : axis + 2] = [(0, max(0, n - have)) for n, have in zip(shape, part.shape[axis:], strict=False)]
        padded = np.pad(part, widths, mode="symmetric")
        layers[name] = padded[(slice(None),) * axis + (slice(shape[0]), slice(shape[1]))]
    return layers


def _climate_names() -> list[str]:
    return [*(variable.name for variable in inputs_layout.CLIMATE), "digest", "filled_hours"]


def _ingested(view: InputsView) -> tuple[slice, slice]:
    """Return the columns of the demo's grid that are ingested in all of its rows, and all rows."""
    covered = repository.values(view.root, "crop/2010/covered")
    (cols,) = np.nonzero((covered > 0).all(axis=0))
    return slice(None), slice(int(cols.min()), int(cols.max()) + 1)


def _patches(view: InputsView, extent: Extent) -> NDArray[np.bool_]:
    """Return patches of the large tile in which `SHARE` of all its cells grow corn or soybean."""
    fractions_Y2 = np.stack(
        [
            np.stack([_mirrored(view, "crop", year, extent=extent)[f"{crop}_fraction"] for crop in ("corn", "soybean")])
            for year in view.ingested("crop")
        ]
    )
    soil = _mirrored(view, "soil", None, extent=extent)
    grown = modelled(fractions_Y2, 0.5) & np.isfinite([soil[v.name] for v in inputs_layout.SOIL_MEANS]).all(axis=0)
    noise = gaussian_filter(np.random.default_rng(7).standard_normal((_EDGE, _EDGE)), _PATCH_CELLS, mode="wrap")
    return np.asarray(noise >= np.quantile(noise[grown], 1 - SHARE * noise.size / grown.sum()))
