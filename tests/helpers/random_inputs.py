"""An inputs store with random fields of four years and a run file for it: no archives, a few dozen cells.

All random fields are functions of a cell's place, so that another tile size gives the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, expected_shapes
from model.features import PUBLISHED_FEATURE_SCALERS
from pipeline.digests import json_digest
from pipeline.grid.sinusoidal import Grid
from pipeline.inputs import layout
from pipeline.inputs.layout import CLIMATE, SOIL_MEANS, Extent, Record
from pipeline.job import Job
from pipeline.storage import cf
from pipeline.storage import repository as store

YEARS = (2010, 2011, 2012, 2013)
CORNER = (23760, 53280)  # a grid row and column north-west of everything here
SPAN = 960  # cells of the random fields
NLDAS_CORNER, NLDAS_SPAN = (105, 270), 24  # the same for the climate, in NLDAS-2 cells

BBOX = (-89.517, 39.993, -89.503, 40.007)
_REGION = """
title = "Test: a few cells around 40 N, in two MODIS tiles"
bbox = {bbox}
first_year = 2010
last_year = 2013
mask_years = [2010, 2011]
tile_cells = {tile_cells}
"""
RUN_FILE = """
region = "{name}.toml"
[stores]
cube = "{name}.icechunk"
inputs = "{name}-inputs.icechunk"
[model]
checkpoint = "{checkpoint}"
{model}
[restart]
every = 2
last = 1
[execution]
scheduler = "{scheduler}"
workers = 2
block_years = 2
commit_seconds = 0.001
batch_cells = 16
"""


@dataclass(frozen=True)
class Fields:
    """Settings of the random fields: rows and columns of the grid without GPP, and a factor of it, by year.

    `given` returns the layers of a product-year by name, for a store with other fields than random ones; its GPP is in
    integers of the step `gpp_scale`, unless that is None. With `drawn_crops` half of the cells follow no rotation.
    `uncertainty` is that of GPP as a share of it; 0 for none, in the store either.
    """

    seed: int = 0
    missing: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    gpp_factor: dict[int, float] = field(default_factory=dict)
    given: Callable[[str, int | None], dict[str, NDArray[np.generic]]] | None = None
    gpp_scale: float | None = None
    drawn_crops: bool = False
    uncertainty: float = 0.0


@dataclass(frozen=True)
class Setting:
    """How a job is laid out."""

    name: str = "small"
    tile_cells: int = 24
    scheduler: str = "serial"
    bbox: tuple[float, float, float, float] = BBOX
    model: str = ""


def region_text(tile_cells: int, bbox: tuple[float, float, float, float] = BBOX) -> str:
    """Return a region file."""
    return _REGION.format(tile_cells=tile_cells, bbox=list(bbox))


def random_checkpoint(seed: int = 5, *, scale: float = 0.2, origin: str = "random weights") -> Checkpoint:
    """Return random weights, by default larger than those of a fresh network, so that inputs matter."""
    generator = torch.Generator().manual_seed(seed)
    scalers = {
        "features": PUBLISHED_FEATURE_SCALERS, "gpp": PUBLISHED_FEATURE_SCALERS[8], "ra": (-1.4, 2.6),
        "rh": (-1.0, 0.9), "nee": (-0.5, 3.0), "yield": (221.0, 104.0), "residue": (326.0, 150.0),
    }  # fmt: skip
    tensors = {name: scale * torch.randn(shape, generator=generator) for name, shape in expected_shapes().items()}
    return Checkpoint.from_published(tensors, scalers, record={"origin": origin})


def make_job(
    folder: Path, checkpoint: Checkpoint, *, fields: Fields | None = None, setting: Setting | None = None
) -> Job:
    """Write checkpoint, region, inputs store and run file."""
    setting = setting or Setting()
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "random.safetensors"
    checkpoint.save(weights)
    (folder / f"{setting.name}.toml").write_text(region_text(setting.tile_cells, setting.bbox))
    run_file = folder / f"{setting.name}-run.toml"
    text = RUN_FILE.format(name=setting.name, checkpoint=weights.name, scheduler=setting.scheduler, model=setting.model)
    run_file.write_text(text + ("[slope]\nuncertainty_band = 2\n" if fields and fields.uncertainty else ""))
    job = Job.open(run_file)
    write_inputs(job, fields or Fields(), years=YEARS)
    return job


def write_inputs(job: Job, fields: Fields, *, years: tuple[int, ...]) -> None:
    """Fill the inputs store with the years named, and soil."""
    extent = Extent.of(job.region)
    committer = layout.open_for_writing(job.run_file.stores.inputs, extent)
    yearly = ("climate", "gpp", "crop", *(["gpp_uncertainty"] if fields.uncertainty else []))
    for product, year in [*((name, year) for year in years for name in yearly), ("soil", None)]:
        scale = fields.gpp_scale if product == "gpp" else None
        made = partial(layout.create_group, product=product, year=year, scale=scale)
        committer.commit(f"random {product} {year}", made)
        committer.commit(f"random {product} {year}", partial(_fill, product, year, extent, fields))


def _fill(product: str, year: int | None, extent: Extent, fields: Fields, root: zarr.Group) -> None:
    group = store.subgroup(root, layout.group_name(product, year))
    for name, values in _layers(product, year, extent, fields).items():
        store.array(group, name)[...] = values
    digests = _climate_digests(group) if product == "climate" else _digests(product, extent.grid, group)
    record = Record(
        files=0, size_bytes=0, stamp="", cells=1, missing=0, minimum=0.0, maximum=1.0,
        counts={}, digest=json_digest(digests), notes={},
    )  # fmt: skip
    layout.complete(group, record, digests)


def _digests(product: str, grid: Grid, group: zarr.Group) -> dict[str, str]:
    layers = {name: store.values(group, name) for name in layout.READ[product]}
    windows = {tile.name: grid.window(tile) for tile in grid.tiles()}
    return {
        tile: layout.tile_digest(product, {name: layer[..., *window] for name, layer in layers.items()})
        for tile, window in windows.items()
    }


def _climate_digests(group: zarr.Group) -> dict[str, str]:
    series_FTYX = np.stack([store.values(group, variable.name) for variable in CLIMATE])
    digests_YXB = layout.cell_digests(series_FTYX, np.zeros(series_FTYX.shape[2:], bool))
    store.array(group, "digest")[...] = digests_YXB
    return layout.year_digests(digests_YXB)


def _place(grid: Grid, seed: int) -> NDArray[np.float64]:
    """Uniform random numbers (rows, cols), the same for a cell in every grid."""
    row, col = grid.first_row - CORNER[0], grid.first_col - CORNER[1]
    assert 0 <= row <= SPAN - grid.rows
    assert 0 <= col <= SPAN - grid.cols
    return np.random.default_rng(seed).random((SPAN, SPAN))[row : row + grid.rows, col : col + grid.cols]


def _layers(product: str, year: int | None, extent: Extent, fields: Fields) -> dict[str, NDArray[np.generic]]:
    if fields.given:
        return fields.given(product, year)
    if product == "climate":
        assert year is not None
        return _climate(year, extent, fields)
    if product == "soil":
        means = (1.35, 150.0, 580.0, 0.3, 0.16, 30.0, 20.0, 6.3, 20.0)
        spread = 0.8 + 0.4 * _place(extent.grid, fields.seed + 1)
        soil = {variable.name: mean * spread for variable, mean in zip(SOIL_MEANS, means, strict=True)}
        stock = 30_000 * _place(extent.grid, fields.seed + 4)
        depth = np.full(extent.grid.shape, 150.0)
        return soil | {"soil_coverage": np.ones(extent.grid.shape), "soc_stock_200": stock, "soc_depth_200": depth}
    assert year is not None
    if product == "gpp_uncertainty":
        std = fields.uncertainty * _gpp(year, extent.grid, fields)["gpp"]
        return {"gpp_uncertainty": std, "uncertainty_days": np.isfinite(std).sum(axis=0, dtype=np.uint16)}
    return _crop(year, extent.grid, fields) if product == "crop" else _gpp(year, extent.grid, fields)


def _climate(year: int, extent: Extent, fields: Fields) -> dict[str, NDArray[np.generic]]:
    window, days = extent.window, cf.days_in_year(year)
    row, col = window.first_row - NLDAS_CORNER[0], window.first_col - NLDAS_CORNER[1]
    part = (..., slice(row, row + window.rows), slice(col, col + window.cols))
    shape = (days, NLDAS_SPAN, NLDAS_SPAN)
    rng = np.random.default_rng((fields.seed, year))
    season = _season(year)[:, None, None]
    means = (8 + 15 * season, 30 * season, 10.0, 0.5 + 2 * season, 0.5, 350.0, 3.0)
    noise = (rng.normal(0, 0.1, shape)[part] for _ in CLIMATE)
    series = {v.name: mean + extra for v, mean, extra in zip(CLIMATE, means, noise, strict=True)}
    return series | {"filled_hours": np.zeros((12, window.rows, window.cols), np.uint16)}


def _season(year: int) -> NDArray[np.float64]:
    day = np.arange(cf.days_in_year(year))
    return np.clip(np.sin(2 * np.pi * (day - 105) / 365), 0, None)


def _gpp(year: int, grid: Grid, fields: Fields) -> dict[str, NDArray[np.generic]]:
    peak = (10 + 10 * _place(grid, fields.seed + year)) * fields.gpp_factor.get(year, 1.0)
    gpp = (_season(year)[:, None, None] * peak).astype(np.float32)
    for row, col in fields.missing.get(year, []):
        gpp[:, row, col] = np.nan
    counts = {name: np.zeros(grid.shape, np.uint16) for name in ("filled_days", "dormant_days", "longest_gap_days")}
    return {"gpp": gpp, **counts}


def _crop(year: int, grid: Grid, fields: Fields) -> dict[str, NDArray[np.generic]]:
    share, turn = _place(grid, fields.seed + 2), _place(grid, fields.seed + 3) < 0.5
    corn_year = turn ^ (year % 2 == 0)
    if fields.drawn_crops:
        drawn, where = _place(grid, fields.seed + 100 + year) < 0.7, _place(grid, fields.seed + 5) < 0.5
        corn_year = np.where(where, drawn, corn_year)
    total = 0.4 + 0.6 * share
    return {
        "corn_fraction": np.where(corn_year, total, 0),
        "soybean_fraction": np.where(corn_year, 0, total),
        "covered": np.ones(grid.shape),
    }
