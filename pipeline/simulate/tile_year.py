"""The block function: inputs of a tile's years in, fluxes and annual layers out. Eager arrays only, no files.

Shape legend: N modelled cells of a tile, T days, S layers of state of 64 numbers (6 for each member of the
checkpoint), M members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.features import CLIMATE, SOIL, training_range
from model.inference import STATE_LAYERS, Floats, Predictor, YearFluxes, YearInputs
from model.network import HIDDEN
from pipeline.variables import ENSEMBLE_STD, Quality

TRAINING_YEARS = range(2001, 2019)
OUTSIDE_SHARE = 0.05  # of a cell's daily inputs beyond the training range before the year is flagged


@dataclass(frozen=True)
class TileYear:
    """Inputs of one tile-year at the modelled cells, with what the quality layer says of them.

    GPP is NaN in all days of a cell whose year is missing; no other input may be missing.
    """

    inputs: YearInputs
    grown_N: NDArray[np.bool_]
    gpp_filled_N: NDArray[np.bool_]
    partial_soil_N: NDArray[np.bool_]
    corn_fraction_N: Floats
    soybean_fraction_N: Floats

    @property
    def complete_N(self) -> NDArray[np.bool_]:
        """Cells that can be run this year."""
        return np.asarray(np.isfinite(self.inputs.gpp_TN).all(axis=0))


@dataclass(frozen=True)
class CellState:
    """The carried state of a tile's cells; NaN where a cell has had no complete year yet.

    `fresh_N` says whether the state is that of the year just before (False after a missing year).
    """

    state_SNH: Floats
    fresh_N: NDArray[np.bool_]

    @classmethod
    def none(cls, cells: int, *, layers: int = STATE_LAYERS) -> CellState:
        """Return the state before any year."""
        return cls(np.full((layers, cells, HIDDEN), np.nan, np.float32), np.ones(cells, bool))

    @property
    def started_N(self) -> NDArray[np.bool_]:
        """Cells that have been spun up."""
        started: NDArray[np.bool_] = ~np.isnan(self.state_SNH[0, :, 0])
        return started

    def advanced(self, chosen: NDArray[np.bool_], state_SNH: Floats) -> CellState:
        """Return the state after a year that the `chosen` cells ran; it passes unchanged through the others."""
        after = self.state_SNH.copy()
        after[:, chosen] = state_SNH
        return CellState(after, chosen | ~self.started_N)


@dataclass(frozen=True)
class TileResult:
    """One tile-year of results: daily (T, N) [g C m-2 d-1], annual layers (N,), the state at the year's end."""

    ra_TN: Floats
    rh_TN: Floats
    nee_TN: Floats
    annual: dict[str, NDArray[np.generic]]
    state: CellState


def spin_up(predictor: Predictor, years: tuple[TileYear, TileYear]) -> CellState:
    """Run the two spin-up years from zeros, without output.

    A cell that lacks one of them runs the other twice; a cell that lacks both starts at its first complete year.
    """
    first, second = years
    has_first, has_second = first.complete_N, second.complete_N
    state = CellState.none(first.grown_N.size, layers=predictor.state_layers)
    for year, chosen in (
        (first, has_first),
        (second, has_second & ~has_first),
        (second, has_second),
        (first, has_first & ~has_second),
    ):
        state = _passed(predictor, year, state, chosen)
    return CellState(state.state_SNH, np.ones_like(state.fresh_N))


def _passed(predictor: Predictor, year: TileYear, state: CellState, chosen: NDArray[np.bool_]) -> CellState:
    """Return the state after the chosen cells ran a year; cells without a state start from zeros."""
    if not chosen.any():
        return state
    start = np.nan_to_num(state.state_SNH[:, chosen])
    return state.advanced(chosen, predictor.year(year.inputs.cells(chosen), start).state_SNH)


def simulate(predictor: Predictor, year: TileYear, state: CellState) -> TileResult:
    """Run one year of a tile.

    Parameters
    ----------
    predictor
        The network.
    year
        Inputs; cells with missing GPP give NaN and pass their state on.
    state
        At the end of the year before. Cells that have none are spun up on this year, twice, first.
    """
    complete = year.complete_N
    newcomers = complete & ~state.started_N
    before = _passed(predictor, year, _passed(predictor, year, state, newcomers), newcomers)
    if complete.any():
        fluxes = predictor.year(year.inputs.cells(complete), before.state_SNH[:, complete])
        after = before.advanced(complete, fluxes.state_SNH)
    else:
        fluxes = _no_fluxes(year, layers=predictor.state_layers)
        after = CellState(before.state_SNH, ~before.started_N)
    ra_TN, rh_TN, nee_TN = (_scattered(flux, complete) for flux in (fluxes.ra_TN, fluxes.rh_TN, fluxes.nee_TN))
    annual = annual_sums(year.inputs.gpp_TN, fluxes, complete)
    annual |= {
        "crop": year.inputs.crop_N,
        "quality": quality(year, stale_N=~state.fresh_N),
        "corn_fraction": year.corn_fraction_N,
        "soybean_fraction": year.soybean_fraction_N,
    }
    return TileResult(ra_TN, rh_TN, nee_TN, annual, after)


def _no_fluxes(year: TileYear, *, layers: int) -> YearFluxes:
    members = np.empty((layers // STATE_LAYERS, 4, 0)) if layers > STATE_LAYERS else None
    nothing = np.empty((year.inputs.gpp_TN.shape[0], 0), np.float32)
    return YearFluxes(nothing, nothing, nothing, nothing[0], np.empty((layers, 0, HIDDEN), np.float32), members)


def _scattered(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    out = np.full((*values.shape[:-1], chosen.size), np.nan, np.float32)
    out[..., chosen] = values
    return out


def annual_sums(gpp_TN: Floats, fluxes: YearFluxes, complete_N: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
    """Annual layers (N,) [g C m-2 yr-1] from unrounded daily fluxes of the complete cells, NaN elsewhere.

    dsoc = -nee - yield uses the predicted NEE; dsoc_balance = gpp - ra - rh - yield does not. Their difference is
    balance_residual = ra + rh - gpp - nee. An ensemble's layers are those of its mean fluxes; each of
    `ENSEMBLE_STD` is the standard deviation over its members' own budgets.
    """
    gpp = gpp_TN[:, complete_N].sum(0, dtype=np.float64)
    ra, rh, nee = (flux.sum(0, dtype=np.float64) for flux in (fluxes.ra_TN, fluxes.rh_TN, fluxes.nee_TN))
    layers = _budget(gpp, np.stack([ra, rh, nee, fluxes.yield_N.astype(np.float64)]))
    if fluxes.members_M4N is not None:
        members = _budget(gpp, np.moveaxis(fluxes.members_M4N, 1, 0))
        layers |= {spread.name: members[name].std(axis=0, ddof=1) for name, spread in ENSEMBLE_STD.items()}
    return {name: _scattered(layer.astype(np.float32), complete_N) for name, layer in layers.items()}


def _budget(gpp: NDArray[np.float64], annual_4XN: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The carbon budget from annual Ra, Rh, NEE and yield, each (N,) or (M, N)."""
    ra, rh, nee, grain = annual_4XN
    return {
        "gpp": gpp,
        "ra": ra,
        "rh": rh,
        "reco": ra + rh,
        "nee": nee,
        "yield": grain,
        "residue": np.maximum(gpp - ra - grain, 0.0),
        "dsoc": -nee - grain,
        "dsoc_balance": gpp - ra - rh - grain,
        "balance_residual": ra + rh - gpp - nee,
    }


def quality(year: TileYear, *, stale_N: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Quality flags (N,) of a tile-year; `stale_N` are cells whose year before was missing."""
    bits = {
        Quality.NOT_GROWN: ~year.grown_N,
        Quality.GPP_FILLED: year.gpp_filled_N,
        Quality.GAP_YEAR_BEFORE: stale_N,
        Quality.OUTSIDE_TRAINING: outside_training(year.inputs),
        Quality.PARTIAL_SOIL: year.partial_soil_N,
        Quality.BEYOND_TRAINING_YEARS: np.full(year.grown_N.shape, year.inputs.year not in TRAINING_YEARS),
        Quality.MISSING: ~year.complete_N,
    }
    flags = np.zeros(year.grown_N.shape, np.uint16)
    for bit, cells in bits.items():
        flags |= np.where(cells, np.uint16(bit), np.uint16(0))
    return flags


def outside_training(inputs: YearInputs) -> NDArray[np.bool_]:
    """Cells with any soil input, or more than 5 % of their daily climate, beyond the training range."""
    low, high = np.array([training_range(index) for index in range(SOIL.start, SOIL.stop)]).T[:, :, None]
    soil_out = ((inputs.soil_9N < low) | (inputs.soil_9N > high)).any(0)
    low, high = np.array([training_range(index) for index in range(CLIMATE.start, CLIMATE.stop)]).T[:, :, None, None]
    out_7TC = (inputs.climate_7TC < low) | (inputs.climate_7TC > high)
    climate_out: NDArray[np.bool_] = (out_7TC.any(0).mean(0) > OUTSIDE_SHARE)[inputs.climate_of_N]
    outside: NDArray[np.bool_] = soil_out | climate_out
    return outside
