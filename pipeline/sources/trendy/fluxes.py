"""TRENDY-v9: monthly carbon fluxes of the dynamic global vegetation models -> g C m-2 month-1 on the 0.5 degree grid.

The files are global and span centuries; only the rows and columns that a window needs are read, a year at a time.

References
----------
Sitch et al. (2015), Biogeosciences 12, 653-679, doi:10.5194/bg-12-653-2015. Ensemble: Friedlingstein et al. (2020),
Earth Syst. Sci. Data 12, 3269-3340, doi:10.5194/essd-12-3269-2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid.latlon import LatLonGrid
from pipeline.sources.trendy.file import Array, Block, FluxFile, open_flux
from pipeline.sources.trendy.models import ModelQuirks, ModelTable, Variable, load_models
from pipeline.sources.trendy.regrid import Cells, Weights, regrid

_FLUXES: tuple[Variable, ...] = ("gpp", "ra", "rh")


@dataclass(frozen=True, eq=False)
class TrendyFluxes:
    """Fluxes of one model on a window; months in order, rows from the north [g C m-2 month-1], NaN missing.

    Values are per unit area of the model's cells, as in its files, averaged over the cells with values.

    Attributes
    ----------
    months
        (months,) datetime64[M].
    gpp_TYX, ra_TYX, rh_TYX
        (months, rows, cols), positive.
    coverage_TYX
        Share of each cell for which the model has all three, 0 to 1; a total is mean x coverage x area.
    partial
        Number of cell-months of the model, in the part read, with some of the fluxes but not all; taken as missing.
    notes
        Sentences on fluxes that were derived from others.
    """

    model: str
    window: LatLonGrid
    months: NDArray[np.datetime64]
    gpp_TYX: Array
    ra_TYX: Array
    rh_TYX: Array
    coverage_TYX: Array
    partial: int
    notes: tuple[str, ...]

    @property
    def reco_TYX(self) -> Array:
        """Ecosystem respiration, ra + rh (months, rows, cols), positive."""
        return self.ra_TYX + self.rh_TYX

    @property
    def nee_TYX(self) -> Array:
        """Net ecosystem exchange, ra + rh - gpp (months, rows, cols), positive to the atmosphere."""
        return self.reco_TYX - self.gpp_TYX

    @property
    def missing(self) -> int:
        """Number of cell-months of the window without data."""
        return int(np.isnan(self.gpp_TYX).sum())


@dataclass(frozen=True, eq=False)
class TrendyBiome:
    """Net biome production of one model on a window, including fires, harvest and land use; positive into the land.

    Attributes
    ----------
    months, coverage_TYX, partial, notes
        As in `TrendyFluxes`.
    nbp_TYX
        (months, rows, cols) [g C m-2 month-1], NaN missing.
    """

    model: str
    window: LatLonGrid
    months: NDArray[np.datetime64]
    nbp_TYX: Array
    coverage_TYX: Array
    partial: int
    notes: tuple[str, ...]


def read_trendy(
    folder: Path, *, model: str, years: Sequence[int], window: LatLonGrid, table: ModelTable | None = None
) -> TrendyFluxes:
    """Return GPP, Ra, Rh, Reco and NEE of one model, simulation S3, in every month of `years` on `window`.

    Parameters
    ----------
    folder
        Folder of the model's files, at any depth.
    window
        A part of the grid of 0.5 degree (or another); `pipeline.sources.trendy.regrid.cover_box` makes one.
    table
        A changed copy of the table of model peculiarities; None is the shipped one.

    Raises
    ------
    UserError
        If the model is unknown or cannot give a flux by month, a file is absent, damaged or not as the table says,
        a year or the window lies outside it, or fluxes have the wrong sign.
    """
    request = _Request(folder, model, (table or load_models()).of(model), tuple(years), window)
    fields = request.read(_FLUXES)
    # A derived flux, such as ra = gpp - npp, may be below 0 in single cells; its mean is only with the opposite sign.
    for name, flux_TYX in zip(_FLUXES, fields.mean_FTYX, strict=True):
        if (total := np.nansum(flux_TYX)) < 0:
            raise UserError(
                f"{folder}: {name} of {model} is {total / flux_TYX.size:g} g C m-2 month-1 in the mean, below 0; "
                f"change its sign in the file, or remove it from `derived` in the model's table"
            )
    notes = request.notes(_FLUXES)
    gpp_TYX, ra_TYX, rh_TYX = fields.mean_FTYX
    return TrendyFluxes(
        model, window, request.months, gpp_TYX, ra_TYX, rh_TYX, fields.coverage_TYX, fields.partial, notes
    )


def read_biome_production(
    folder: Path, *, model: str, years: Sequence[int], window: LatLonGrid, table: ModelTable | None = None
) -> TrendyBiome:
    """Return the net biome production of one model; parameters and errors are those of `read_trendy`."""
    request = _Request(folder, model, (table or load_models()).of(model), tuple(years), window)
    fields = request.read(("nbp",))
    notes = request.notes(("nbp",))
    return TrendyBiome(model, window, request.months, fields.mean_FTYX[0], fields.coverage_TYX, fields.partial, notes)


@dataclass(frozen=True, eq=False)
class _Fields:
    """Fluxes on the window (fluxes, months, rows, cols), their coverage, and the number of partial cell-months."""

    mean_FTYX: Array
    coverage_TYX: Array
    partial: int

    @classmethod
    def joined(cls, years: Sequence[_Fields]) -> _Fields:
        """Return several years as one."""
        means, coverages = [year.mean_FTYX for year in years], [year.coverage_TYX for year in years]
        return cls(np.concatenate(means, axis=1), np.concatenate(coverages), sum(year.partial for year in years))


@dataclass(frozen=True)
class _Request:
    """Years and window to read of one model."""

    folder: Path
    model: str
    quirks: ModelQuirks
    years: tuple[int, ...]
    window: LatLonGrid

    @property
    def months(self) -> NDArray[np.datetime64]:
        """All months of the years."""
        return np.concatenate([np.datetime64(f"{year}-01", "M") + np.arange(12) for year in self.years])

    def notes(self, fluxes: Sequence[Variable]) -> tuple[str, ...]:
        """Return a sentence on each derived flux."""
        derived = {flux: " - ".join(self.quirks.terms(flux)) for flux in fluxes if flux in self.quirks.derived}
        return tuple(f"{flux} of {self.model} is {difference}" for flux, difference in derived.items())

    def read(self, fluxes: Sequence[Variable]) -> _Fields:
        """Return the fluxes, each regridded over the cells of the model that have all of them."""
        self._check(fluxes)
        terms = [self.quirks.terms(flux) for flux in fluxes]
        with ExitStack() as stack:
            files = {
                variable: stack.enter_context(open_flux(self.folder, variable=variable, quirks=self.quirks))
                for variable in dict.fromkeys(chain.from_iterable(terms))
            }
            # A year at a time: a file has up to 2 GB, a year of its block some MB.
            reader = _Reader.of(files, terms=terms, window=self.window)
            fields = _Fields.joined([reader.read_year(year) for year in self.years])
        if np.isnan(fields.mean_FTYX).all():
            raise UserError(
                f"{self.folder}: {self.model} has no value in the window in {self.years[0]} to {self.years[-1]}; "
                f"choose a window on land, and check that no valid value is listed in `fill`"
            )
        return fields

    def _check(self, fluxes: Sequence[Variable]) -> None:
        if not self.years:
            raise UserError(f"{self.folder}: no years of {self.model} are given; give one or more")
        for flux in fluxes:
            if flux in self.quirks.withheld:
                raise UserError(
                    f"{self.model} has no monthly {flux}: {self.quirks.withheld[flux]}; leave the model out"
                )


@dataclass(frozen=True, eq=False)
class _Reader:
    """Open files, the variables behind each flux, and the weights from the block of cells that the window needs."""

    files: dict[Variable, FluxFile]
    terms: list[tuple[Variable, ...]]
    weights: Weights
    block: Block

    @classmethod
    def of(cls, files: dict[Variable, FluxFile], *, terms: list[tuple[Variable, ...]], window: LatLonGrid) -> _Reader:
        first, *others = files.values()
        for other in others:
            if not _same_cells(first.cells, other.cells):
                raise UserError(f"{first.path} and {other.path} have different cells; download them again")
        weights = Weights.between(first.cells, target=Cells.of(window))
        # A window across the first and last column of the file takes all columns, since netCDF reads ranges only.
        block = rows, cols = weights.needed()
        if rows.stop == 0 or cols.stop == 0:
            raise UserError(f"{first.path}: does not reach the window; use a global file, or choose a window inside it")
        return cls(files, terms, weights.within(block), block)

    def read_year(self, year: int) -> _Fields:
        """Return the fluxes of a year on the window."""
        values = {variable: file.read_year(year, block=self.block) for variable, file in self.files.items()}
        # Each flux over the same cells: else ra + rh, and that minus gpp, would mix fluxes of different areas.
        fluxes_FTYX = np.stack([_difference([values[variable] for variable in group]) for group in self.terms])
        valid_FTYX = np.isfinite(fluxes_FTYX)
        complete_TYX = valid_FTYX.all(axis=0)
        result = regrid(np.where(complete_TYX, fluxes_FTYX, np.nan), weights=self.weights)
        partial = int((valid_FTYX.any(axis=0) & ~complete_TYX).sum())
        return _Fields(result.mean, result.coverage[0], partial)


def _same_cells(one: Cells, other: Cells) -> bool:
    same_lat = np.array_equal(one.lat_edges, other.lat_edges)
    return same_lat and np.array_equal(one.lon_edges, other.lon_edges)


def _difference(terms: list[Array]) -> Array:
    """First term minus the others."""
    return terms[0] - sum(terms[1:], start=np.zeros_like(terms[0]))
