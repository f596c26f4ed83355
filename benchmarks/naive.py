"""The same years as a competent user of xarray and Dask would run them, beside `agcarbon run`.

The network is PyTorch's, in batches of the size that suits it best, inside `xarray.apply_ufunc(dask="parallelized")`
over blocks of the map; cells outside the mask are skipped, and climate series are shared by the cells that read them.
Inputs are those of the inputs store, outputs the daily Ra, Rh and NEE, the annual yield and, at the end, the carried
state, written by `to_zarr`. It has no plan, no ledger, no quality layer, no other annual layers, no rounding, no
checksums and no transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.block import MEASURED
from benchmarks.tiles import Subject
from model.arrays import Floats, YearInputs
from model.checkpoint import Checkpoint
from model.inference import Predictor
from pipeline.cube import layout, restarts
from pipeline.inputs.layout import CLIMATE, SOIL_MEANS
from pipeline.inputs.view import open_inputs
from pipeline.simulate.crops import crop_of_year
from pipeline.storage import repository

_BLOCK = 120  # cells of a block's edge: blocks of the daily fluxes have 21 MB
_TOLERANCE = 1e-4  # of a standard deviation, beside the rounding of the cube


def run_naively(subject: Subject, checkpoint: Checkpoint, *, batch: int, folder: Path) -> None:
    """Run the measured years from the state at the end of the year before, into Zarr arrays in a folder."""
    predictor, state = Predictor(checkpoint, batch_cells=batch), _state_before(subject)
    with dask.config.set(scheduler="synchronous"):
        for year in MEASURED:
            done = _year(subject, year, state, predictor=predictor).persist()
            fluxes = done.drop_vars("state").transpose("time", "y", "x", missing_dims="ignore")
            fluxes.to_zarr(folder / str(year), mode="w", consolidated=False)
            state = done["state"]
        done[["state"]].to_zarr(folder / "state", mode="w", consolidated=False)


def _state_before(subject: Subject) -> xr.DataArray:
    root, mask = repository.read(subject.job.open_cube()), subject.mask.mask
    before = restarts.read_restart(root, subject.tile, MEASURED[0] - 1, cells=subject.cells).state_SNH
    state_YXSH = np.full((*mask.shape, before.shape[0], before.shape[2]), np.nan, np.float32)
    state_YXSH[mask] = before.transpose(1, 0, 2)
    return xr.DataArray(state_YXSH, dims=("y", "x", "layer", "unit")).chunk(y=_BLOCK, x=_BLOCK)


def _year(subject: Subject, year: int, state: xr.DataArray, *, predictor: Predictor) -> xr.Dataset:
    """Return one year of the tile, not computed yet."""
    source = open_inputs(subject.job.stores.inputs).root.store
    rows, cols = subject.job.grid.window(subject.tile)

    def opened(group: str) -> xr.Dataset:
        return xr.open_zarr(source, group=group, consolidated=False, chunks={}).drop_vars(
            "spatial_ref", errors="ignore"
        )

    on_tile, chunks = {"y": rows, "x": cols}, {"y": _BLOCK, "x": _BLOCK}
    gpp = opened(f"gpp/{year}")["gpp"].isel(on_tile)
    soil = opened("soil")[[v.name for v in SOIL_MEANS]].isel(on_tile).to_dataarray("feature")
    crop = xr.DataArray(_crop(subject, year, opened), dims=("y", "x")).expand_dims(feature=["crop"])
    climate = opened(f"climate/{year}")[[v.name for v in CLIMATE]].to_dataarray().load()
    series = xr.DataArray(np.where(subject.mask.mask, _series(subject, climate), -1), dims=("y", "x"))
    names, without = ("ra", "rh", "nee", "yield", "state"), ["y", "x"]
    layers = xr.apply_ufunc(
        _YearOfBlocks(year, climate.values.reshape(*climate.shape[:2], -1), predictor),
        gpp.drop_vars(without).astype(np.float32).chunk(time=-1, **chunks),
        xr.concat([crop, soil.drop_vars(without)], "feature").chunk(feature=-1, **chunks),
        series.chunk(chunks),
        state,
        input_core_dims=[["time"], ["feature"], [], ["layer", "unit"]],
        output_core_dims=[["time"], ["time"], ["time"], [], ["layer", "unit"]],
        dask="parallelized",
        output_dtypes=[np.float32] * len(names),
    )
    return xr.Dataset(dict(zip(names, layers, strict=True)))


def _crop(subject: Subject, year: int, opened: Any) -> NDArray[np.uint8]:
    """Return the crop of each cell (rows, cols)."""
    rows, cols = subject.job.grid.window(subject.tile)
    years = range(subject.job.region.first_year, year + 1)
    names = ["corn_fraction", "soybean_fraction"]
    fractions_Y2 = np.stack([opened(f"crop/{each}")[names].isel(y=rows, x=cols).to_dataarray() for each in years])
    first = np.zeros(subject.mask.mask.shape, np.uint8)
    first[subject.mask.mask] = subject.mask.first_crop_N
    return crop_of_year(fractions_Y2, first, subject.job.region.crop_threshold).crop_N


def _series(subject: Subject, climate: xr.DataArray) -> NDArray[np.intp]:
    """Return the flat index of the nearest cell of NLDAS-2, (rows, cols)."""
    longitude, latitude = subject.job.grid.of(subject.tile).lonlat()
    row, col = (
        climate.indexes[name].get_indexer(values.ravel(), method="nearest").reshape(values.shape)
        for name, values in (("lat", latitude), ("lon", longitude))
    )
    return np.asarray(row * climate.sizes["lon"] + col)


@dataclass(frozen=True)
class _YearOfBlocks:
    """One year of blocks of the map, as a function of arrays."""

    year: int
    climate_7TC: Floats
    predictor: Predictor

    def __call__(
        self, gpp_YXT: Floats, static_YXF: Floats, series_YX: NDArray[np.intp], state_YXSH: Floats
    ) -> tuple[Floats, ...]:
        """Return daily fluxes (Y, X, T), yield (Y, X) and state; NaN outside the mask, where the series is negative."""
        run = (series_YX >= 0) & np.isfinite(gpp_YXT).all(axis=-1)
        crop_N, soil_9N = static_YXF[run, 0].astype(np.uint8), static_YXF[run, 1:].T
        inputs = YearInputs(self.year, self.climate_7TC, series_YX[run], gpp_YXT[run].T, crop_N, soil_9N)
        fluxes = self.predictor.year(inputs, state_YXSH[run].transpose(1, 0, 2))
        daily_YXT = [np.full(gpp_YXT.shape, np.nan, np.float32) for _ in range(3)]
        for out_YXT, flux_TN in zip(daily_YXT, (fluxes.ra_TN, fluxes.rh_TN, fluxes.nee_TN), strict=True):
            out_YXT[run] = flux_TN.T
        yield_YX, after_YXSH = np.full(run.shape, np.nan, np.float32), state_YXSH.copy()
        yield_YX[run], after_YXSH[run] = fluxes.yield_N, fluxes.state_SNH.transpose(1, 0, 2)
        return *daily_YXT, yield_YX, after_YXSH


def largest_difference(subject: Subject, checkpoint: Checkpoint, folder: Path) -> float:
    """Return the largest difference between both runs beyond the rounding, in standard deviations of the flux.

    Raises
    ------
    ValueError
        If it is above the tolerance, or one run has results where the other has none.
    """
    root, mask = repository.read(subject.job.open_cube()), subject.mask.mask
    rows, cols = subject.job.grid.window(subject.tile)
    worst = 0.0
    for index, year in enumerate(MEASURED, start=MEASURED[0] - subject.job.region.first_year):
        naive = xr.open_zarr(folder / str(year), consolidated=False)
        for name in ("ra", "rh", "nee", "yield"):
            path, where = (f"annual/{name}", index) if name == "yield" else (f"daily/{year}/{name}", slice(None))
            ours = repository.part(root, path, (where, rows, cols))[..., mask]
            theirs = naive[name].values[..., mask]
            if (np.isnan(ours) != np.isnan(theirs)).any():
                raise ValueError(f"{name} of {year}: one run has results where the other has none")
            rounding = 0.0 if name == "yield" else 2.0 ** -(layout.KEEP_BITS + 1)
            beyond = np.nanmax(np.abs(ours - theirs) - rounding * np.abs(theirs))
            worst = max(worst, float(beyond) / checkpoint.scalers.outputs[name].std)
    if worst > _TOLERANCE:
        raise ValueError(f"the runs differ by {worst:.1e} of a standard deviation, and {_TOLERANCE:.0e} is allowed")
    return worst
