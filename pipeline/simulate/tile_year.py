"""Simulation of one tile-year: inputs in, daily fluxes and annual layers out. Eager arrays only, no files.

Shape legend: N modelled cells of a tile, T days, S layers of state (6 for each member of the checkpoint), H = 64 hidden
units of a layer, M members, V = 4 fluxes of a member, 5 where GPP is drawn, K = 12 months.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.arrays import HIDDEN, STATE_LAYERS, Floats, MemberSums, YearFluxes, YearInputs, sum_of_days
from model.ranges import TrainingRanges
from pipeline.errors import UserError
from pipeline.simulate.extrapolation import extrapolation
from pipeline.simulate.gpp_draws import GppErrors, year_of_draws
from pipeline.variables import ENSEMBLE_STD, Quality

if TYPE_CHECKING:
    from model.inference import Predictor

MEMBER_FLUXES = ("ra", "rh", "nee", "yield", "gpp")
"""Annual fluxes of each member of an ensemble, from which the others follow; GPP only where it is drawn."""


@dataclass(frozen=True)
class TileYear:
    """Inputs of one tile-year at the modelled cells, and the facts that its quality flags report.

    GPP is NaN on all days of a cell whose year is missing; no other input may be missing.

    Attributes
    ----------
    inputs
        Inputs of the network.
    grown_N
        Whether corn + soybean reach the region's threshold.
    gpp_filled_N
        Whether gaps of GPP in the growing season were interpolated.
    partial_soil_N
        Whether soil data cover only a part of the cell.
    corn_fraction_N, soybean_fraction_N
        Fractions of the cell under the crops.
    errors
        Uncertainty of GPP, if members are drawn from it.
    """

    inputs: YearInputs
    grown_N: NDArray[np.bool_]
    gpp_filled_N: NDArray[np.bool_]
    partial_soil_N: NDArray[np.bool_]
    corn_fraction_N: Floats
    soybean_fraction_N: Floats
    errors: GppErrors | None = None

    @property
    def runs(self) -> int:
        """Number of runs of the network: with GPP as it is, and with each draw."""
        return 1 + (self.errors.draws.count if self.errors else 0)

    @property
    def complete_N(self) -> NDArray[np.bool_]:
        """Whether the inputs of a cell are complete, so that it can be run this year."""
        return np.asarray(np.isfinite(self.inputs.gpp_TN).all(axis=0))

    @classmethod
    def joined(cls, parts: Sequence[TileYear]) -> TileYear:
        """Return the inputs of one year at the cells of all tiles, in order; those of a single one themselves."""
        if len(parts) == 1:
            return parts[0]
        facts = [each.name for each in fields(cls) if each.name not in ("inputs", "errors")]
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in facts}
        errors = [part.errors for part in parts if part.errors]
        return cls(
            YearInputs.joined([part.inputs for part in parts]),
            **joined,
            errors=GppErrors.joined(errors) if errors else None,
        )


@dataclass(frozen=True)
class CellState:
    """The carried state of a tile's cells.

    Attributes
    ----------
    state_SNH
        Hidden states of the network; NaN, in all of its numbers, for a cell without a complete year so far.
    fresh_N
        Whether the state is that of the end of the previous year; False after a missing year.

    Raises
    ------
    UserError
        If the state of a cell is neither finite nor all NaN: results would build on numbers that mean nothing.
    """

    state_SNH: Floats
    fresh_N: NDArray[np.bool_]

    def __post_init__(self) -> None:
        finite_SNH = np.isfinite(self.state_SNH)
        partial_N = ~finite_SNH.all(axis=(0, 2)) & ~np.isnan(self.state_SNH).all(axis=(0, 2))
        if partial_N.any():
            raise UserError(
                f"the carried state of {partial_N.sum()} cells is partly NaN or infinite; compute the tile again from "
                "its first year with `agcarbon run --tile`"
            )

    @classmethod
    def none(cls, cells: int, *, layers: int = STATE_LAYERS) -> CellState:
        """Return the state before any year."""
        return cls(np.full((layers, cells, HIDDEN), np.nan, np.float32), np.ones(cells, bool))

    @classmethod
    def joined(cls, parts: Sequence[CellState]) -> CellState:
        """Return the state of the cells of all tiles, in order; that of a single one itself."""
        if len(parts) == 1:
            return parts[0]
        state_SNH = np.concatenate([part.state_SNH for part in parts], axis=1)
        return cls(state_SNH, np.concatenate([part.fresh_N for part in parts]))

    def cells(self, part: slice) -> CellState:
        """Return the state of some cells, a view; this state itself if they are all."""
        if part == slice(0, len(self.fresh_N)):
            return self
        return CellState(self.state_SNH[:, part], self.fresh_N[part])

    @property
    def started_N(self) -> NDArray[np.bool_]:
        """Whether a cell has been spun up."""
        started: NDArray[np.bool_] = ~np.isnan(self.state_SNH[0, :, 0])
        return started

    def advanced(self, chosen: NDArray[np.bool_], state_SNH: Floats) -> CellState:
        """Return the state after a year that only the `chosen` cells ran; that of the others is unchanged.

        Raises
        ------
        UserError
            If the network gave a state that is not finite; stored, it would pass for that of a cell not begun.
        """
        if not np.isfinite(state_SNH).all():
            lost = (~np.isfinite(state_SNH).all(axis=(0, 2))).sum()
            raise UserError(f"the network gave {lost} cells a state that is not finite; look at its inputs and weights")
        after = self.state_SNH.copy()
        after[:, chosen] = state_SNH
        return CellState(after, chosen | ~self.started_N)


@dataclass(frozen=True)
class TileResult:
    """Results of one tile-year.

    Attributes
    ----------
    ra_TN, rh_TN, nee_TN
        Daily fluxes [g C m-2 d-1]; NaN for a cell without a result. NEE is positive to the atmosphere.
    annual
        Annual layers (N,) by name; see `pipeline.variables.ANNUAL`.
    state
        State at the end of the year.
    imbalance_N
        Sum over the days of |ra + rh - gpp - nee| [g C m-2 yr-1] before rounding; NaN for a cell without a result. None
        if the daily fluxes are not rounded.
    members
        Annual `MEMBER_FLUXES` of each member of an ensemble in single precision, and its months less the mean over the
        members; NaN for a cell without a result. None for a single network.
    """

    ra_TN: Floats
    rh_TN: Floats
    nee_TN: Floats
    annual: dict[str, NDArray[np.generic]]
    state: CellState
    imbalance_N: NDArray[np.float64] | None = None
    members: MemberSums | None = None

    @property
    def balance_residual(self) -> float | None:
        """Mean of |ra + rh - gpp - nee| over days and cells with a result [g C m-2 d-1]; NaN if there are none.

        None if the daily fluxes are not rounded.
        """
        if self.imbalance_N is None:
            return None
        known = self.imbalance_N[~np.isnan(self.imbalance_N)]
        return float(known.mean() / len(self.ra_TN)) if known.size else float("nan")

    def cells(self, part: slice) -> TileResult:
        """Return the results of some cells, views; these results themselves if they are all."""
        if part == slice(0, self.ra_TN.shape[1]):
            return self
        return TileResult(
            self.ra_TN[:, part],
            self.rh_TN[:, part],
            self.nee_TN[:, part],
            {name: layer_N[part] for name, layer_N in self.annual.items()},
            self.state.cells(part),
            None if self.imbalance_N is None else self.imbalance_N[part],
            self.members.cells(part) if self.members else None,
        )


def spin_up(predictor: Predictor, years: tuple[TileYear, TileYear]) -> CellState:
    """Return the state after the two spin-up years, begun from zeros.

    A cell with only one complete spin-up year runs that year twice. A cell with none stays without a state: `simulate`
    spins it up at its first complete year.
    """
    first, second = years
    has_first, has_second = first.complete_N, second.complete_N
    state = CellState.none(first.grown_N.size, layers=predictor.state_layers * first.runs)
    # A cell takes part in two of these four steps: the first and the second year, or its only complete year twice.
    for year, chosen in (
        (first, has_first),
        (second, has_second & ~has_first),
        (second, has_second),
        (first, has_first & ~has_second),
    ):
        state = _passed(predictor, year, state, chosen)
    return CellState(state.state_SNH, np.ones_like(state.fresh_N))


def _passed(predictor: Predictor, year: TileYear, state: CellState, chosen: NDArray[np.bool_]) -> CellState:
    """Return the state after the chosen cells ran a year; cells without a state begin from zeros."""
    if not chosen.any():
        return state
    start = np.where(state.started_N[chosen, None], state.state_SNH[:, chosen], np.float32(0))
    return state.advanced(chosen, _predicted(predictor, year, chosen, start).state_SNH)


def _predicted(predictor: Predictor, year: TileYear, chosen: NDArray[np.bool_], state_SNH: Floats) -> YearFluxes:
    """Return the year of the chosen cells from their state."""
    inputs = year.inputs.cells(chosen)
    if year.errors is None:
        return predictor.year(inputs, state_SNH)
    return year_of_draws(predictor, inputs, year.errors.cells(chosen), state_SNH)


def simulate(predictor: Predictor, year: TileYear, state: CellState) -> TileResult:
    """Run one year of a tile.

    Parameters
    ----------
    predictor
        The network.
    year
        Inputs; a cell with missing GPP has no result (NaN), and its state stays unchanged.
    state
        State at the end of the previous year. A cell without one is first spun up by running this year twice.
    """
    complete = year.complete_N
    newcomers = complete & ~state.started_N  # both of their spin-up years were missing
    before = _passed(predictor, year, _passed(predictor, year, state, newcomers), newcomers)
    if complete.any():
        fluxes = _predicted(predictor, year, complete, before.state_SNH[:, complete])
        after = before.advanced(complete, fluxes.state_SNH)
    else:
        fluxes = _no_fluxes(year, layers=predictor.state_layers)
        after = CellState(before.state_SNH, ~before.started_N)
    ra_TN, rh_TN, nee_TN = (_scattered(flux, complete) for flux in (fluxes.ra_TN, fluxes.rh_TN, fluxes.nee_TN))
    annual = annual_sums(year.inputs.gpp_TN, fluxes, complete)
    annual |= {
        "crop": year.inputs.crop_N,
        "quality": quality(year, gap_before_N=~state.fresh_N, ranges=predictor.checkpoint.training_ranges),
        "corn_fraction": year.corn_fraction_N,
        "soybean_fraction": year.soybean_fraction_N,
    }
    members = _members(fluxes.members, complete) if fluxes.members else None
    imbalance_N = None
    if fluxes.sums_4N is not None:
        imbalance_N = np.full(complete.size, np.nan)
        imbalance_N[complete] = fluxes.sums_4N[3]
    return TileResult(ra_TN, rh_TN, nee_TN, annual, after, imbalance_N, members)


def _no_fluxes(year: TileYear, *, layers: int) -> YearFluxes:
    networks, members = layers // STATE_LAYERS, None
    if year.errors:
        members = MemberSums.empty(networks * year.errors.draws.count, len(MEMBER_FLUXES), 0)
    elif networks > 1:
        members = MemberSums.empty(networks, len(MEMBER_FLUXES) - 1, 0)
    nothing = np.empty((year.inputs.gpp_TN.shape[0], 0), np.float32)
    state = np.empty((layers * year.runs, 0, HIDDEN), np.float32)
    return YearFluxes(nothing, nothing, nothing, nothing[0], state, members)


def _members(sums: MemberSums, complete_N: NDArray[np.bool_]) -> MemberSums:
    """Return the sums of all cells as `TileResult` has them."""
    # What the spread of a sum over cells needs, and far smaller than the months: rounding costs them less.
    mean_3KN = sums.months_M3KN.mean(axis=0, dtype=np.float64).astype(np.float32)
    annual_MVN = sums.annual_MVN.astype(np.float32)
    return MemberSums(_scattered(annual_MVN, complete_N), _scattered(sums.months_M3KN - mean_3KN, complete_N))


def _scattered(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """Return values (..., N) of all cells, NaN where they are not chosen; the values themselves if all are."""
    if chosen.all():
        return values
    out = np.full((*values.shape[:-1], chosen.size), np.nan, np.float32)
    out[..., chosen] = values
    return out


def annual_sums(gpp_TN: Floats, fluxes: YearFluxes, complete_N: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
    """Return annual layers (N,) [g C m-2 yr-1] from unrounded daily fluxes of the complete cells; NaN elsewhere.

    dsoc = -nee - yield uses the predicted NEE; dsoc_balance = gpp - ra - rh - yield does not. Their difference is
    balance_residual = ra + rh - gpp - nee. An ensemble's layers are those of its mean fluxes; each of
    `ENSEMBLE_STD` is the standard deviation over the budgets of its members.
    """
    gpp = sum_of_days(gpp_TN)[complete_N]
    if fluxes.sums_4N is None:
        ra, rh, nee = (sum_of_days(flux_TN) for flux_TN in (fluxes.ra_TN, fluxes.rh_TN, fluxes.nee_TN))
    else:
        ra, rh, nee, _ = fluxes.sums_4N
    layers = budget(gpp, np.stack([ra, rh, nee, fluxes.yield_N.astype(np.float64)]))
    if fluxes.members:
        members = budget_of_members(gpp, fluxes.members.annual_MVN)
        spreads = {spread.name: members[name].std(axis=0, ddof=1) for name, spread in ENSEMBLE_STD.items()}
        # One bit pattern for NaN, of which arithmetic has several: digests compare bits.
        layers |= {name: np.where(np.isnan(spread), np.nan, spread) for name, spread in spreads.items()}
    return {name: _scattered(layer.astype(np.float32), complete_N) for name, layer in layers.items()}


def budget_of_members(gpp_N: NDArray[np.float64], members_MVN: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """Return all fluxes of each member (M, N) by name, given annual GPP, which those of draws replace by their own."""
    annual_VMN = np.moveaxis(members_MVN, 1, 0)
    return budget(annual_VMN[4] if len(annual_VMN) > 4 else gpp_N, annual_VMN[:4])


def budget(gpp: NDArray[np.floating], annual_4XN: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """Return all fluxes by name, from annual GPP and Ra, Rh, NEE, yield, each (N,) or (M, N)."""
    ra, rh, nee, yield_ = annual_4XN
    return {
        "gpp": gpp,
        "ra": ra,
        "rh": rh,
        "reco": ra + rh,
        "nee": nee,
        "yield": yield_,
        "residue": np.maximum(gpp - ra - yield_, 0.0),
        "dsoc": -nee - yield_,
        "dsoc_balance": gpp - ra - rh - yield_,
        "balance_residual": ra + rh - gpp - nee,
    }


def quality(year: TileYear, *, gap_before_N: NDArray[np.bool_], ranges: TrainingRanges) -> NDArray[np.uint16]:
    """Return the quality flags (N,) of a tile-year.

    Parameters
    ----------
    year
        Inputs and facts.
    gap_before_N
        Cells without a result in the previous year.
    ranges
        Ranges of the training data of the checkpoint.
    """
    bits = {
        Quality.NOT_GROWN: ~year.grown_N,
        Quality.GPP_FILLED: year.gpp_filled_N,
        Quality.GAP_YEAR_BEFORE: gap_before_N,
        Quality.OUTSIDE_TRAINING: extrapolation(year.inputs, ranges).any_N,
        Quality.PARTIAL_SOIL: year.partial_soil_N,
        Quality.BEYOND_TRAINING_YEARS: np.full(year.grown_N.shape, year.inputs.year not in ranges.years),
        Quality.MISSING: ~year.complete_N,
    }
    flags = np.zeros(year.grown_N.shape, np.uint16)
    for bit, cells in bits.items():
        flags |= np.where(cells, np.uint16(bit), np.uint16(0))
    return flags
