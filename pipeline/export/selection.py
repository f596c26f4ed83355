"""Choice of the maps to export, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import UserError
from pipeline.export.clip import Area
from pipeline.export.layers import (
    CELLS,
    CROPS,
    LATLON_MASKS,
    GridName,
    Layer,
    MaskName,
    Period,
    PeriodName,
    periods,
    variables,
)
from pipeline.export.over_years import LEAST, OverYears, StatisticName
from pipeline.export.reproject import NATIVE, CrsName
from pipeline.export.units import UNITS, Unit
from pipeline.variables import ENSEMBLE_STD, Variable
from regions import did_you_mean

# Exported unless variables are named, if the grid and period have them.
HEADLINE = ("gpp", "ra", "rh", "reco", "nee", "yield", "dsoc", "crop", "quality")
_DATED = {"annual": "year", "monthly": "month", "daily": "day"}
_DEVIATIONS = tuple(variable.name for variable in ENSEMBLE_STD.values())


@dataclass(frozen=True)
class Selection:
    """Maps to export.

    Attributes
    ----------
    years
        Calendar years; all that have results, if empty.
    variables
        Names as in `pipeline.variables`; `HEADLINE`, if empty.
    grid
        The cube's own cells of 250 m, or its aggregates on cells of 0.0025 or 0.5 degree.
    period
        Annual layers, daily fluxes as sums over months or as single days, or a statistic of annual layers over years.
    dates
        Only these months or days, or those of these months or years: 2012-07, 2012-07-15.
    mask
        All cells of the region, those where corn or soybean is grown that year, or those of one crop. On 250 m cells
        the others become nodata; aggregates hold means over the area under the crop instead.
    at
        Release or snapshot of the cube; its newest state if None.
    units
        Names of `pipeline.export.units.UNITS`: the variables for which these are meant are written in them, each in a
        file of its own name, all others in g C m-2.
    crs
        Projection of 250 m cells: their own, or pixels of `pipeline.export.reproject.PIXEL` in another one.
    area
        Area outside which everything is nodata; None: the region.
    least_years
        Years with a value that a cell must have for a statistic; half of them, and not below `over_years.LEAST`, if
        None.
    """

    years: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    grid: GridName = CELLS
    period: PeriodName = "annual"
    dates: tuple[str, ...] = ()
    mask: MaskName = "region"
    at: str | None = None
    units: tuple[str, ...] = ()
    crs: CrsName = NATIVE
    area: Area | None = None
    least_years: int | None = None

    def check(self) -> None:
        """Raise `UserError` naming every part of the selection of which no cube has maps."""
        if faults := list(self._faults()):
            raise UserError("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        known = variables(self.grid, self.period)
        if not known:
            yield (
                f"--period {self.period}: cells of {self.grid} degree have months and years only; give --grid {CELLS} "
                "or 0.5"
            )
        elif self.period == "daily" and self.deviations:
            yield (
                f"--variables {','.join(self.deviations)}: the cube keeps the members by month and year, and "
                "daily layers have no spread; give --period monthly or annual"
            )
        elif unknown := [name for name in self.variables if name not in known]:
            kind = f"{self.period} layers on {self.grid}"
            yield f"--variables {','.join(unknown)}: {kind} are {', '.join(known)}{did_you_mean(unknown[0], known)}"
        yield from self._faults_of_masks()
        if self.crs != NATIVE and self.grid != CELLS:
            yield f"--crs {self.crs}: cells of {self.grid} degree are in EPSG:4326 and stay there; give --grid {CELLS}"
        elif self.crs != NATIVE and self.deviations:
            deviation = self.deviations[0]
            yield f"--crs {self.crs}: a standard deviation of a mean over cells is unknown; leave out {deviation}"
        yield from self._faults_of_units(known)
        yield from self._faults_of_statistics()

    def _faults_of_masks(self) -> Iterator[str]:
        if self.grid != CELLS and self.mask not in LATLON_MASKS:
            yield f"--mask {self.mask}: cells of {self.grid} degree have {', '.join(LATLON_MASKS)}"
        elif self.grid != CELLS and self.period in ("monthly", "daily") and self.mask != "region":
            yield (
                f"--mask {self.mask}: {self.period} means on {self.grid} degree are over all modelled cells; leave it "
                "out"
            )

    def _faults_of_statistics(self) -> Iterator[str]:
        if self.statistic and self.dates:
            yield f"--dates {','.join(self.dates)}: a {self.period} is over whole years; give --years instead"
        if self.least_years is None:
            return
        if not self.statistic:
            yield f"--least-years {self.least_years}: {self.period} layers are of one year; give --period mean or trend"
        elif self.least_years < LEAST[self.period]:
            yield f"--least-years {self.least_years}: a {self.period} needs {LEAST[self.period]} years or more"

    def _faults_of_units(self, known: Mapping[str, Variable]) -> Iterator[str]:
        exported = self._names(known)
        for name in self.units:
            if not (unit := UNITS.get(name)):
                yield f"--units {name}: units are {', '.join(UNITS)}; without --units, all values are in g C m-2"
            elif unit.variable not in exported:
                yield f"--units {name}: it is a unit of {unit.variable}, which is not among {', '.join(exported)}"
            elif unit.needs_crop and self.grid != CELLS and self.mask not in CROPS:
                yield f"--units {name}: a mean over both crops has no such unit; give --mask {' or '.join(CROPS)}"

    def _names(self, known: Mapping[str, Variable]) -> Sequence[str]:
        return self.variables or [name for name in HEADLINE if name in known]

    @property
    def deviations(self) -> Sequence[str]:
        """The standard deviations of an ensemble among the variables."""
        return [name for name in self.variables if name in _DEVIATIONS]

    @property
    def statistic(self) -> StatisticName | None:
        """Statistic over years; None if the maps are of single years."""
        return self.period if self.period == "mean" or self.period == "trend" else None

    @property
    def qualifiers(self) -> str:
        """Part of a file's name for grid, projection, mask and area, empty for the default ones."""
        parts = [
            self.grid.replace(".", "p") if self.grid != CELLS else "",
            self.crs.replace(":", "").lower() if self.crs != NATIVE else "",
            self.mask if self.mask != "region" else "",
            self.area.label if self.area else "",
        ]
        return "".join(f"_{part}" for part in parts if part)

    def layers(self, years: Sequence[int]) -> list[Layer]:
        """Return the maps of some ascending years; `check` first.

        Raises
        ------
        UserError
            If these are fewer years than a statistic needs, or if `dates` names one of which there is no map.
        """
        known = variables(self.grid, self.period)
        stated = [(known[name], unit) for name in self._names(known) for unit in self._units(name)]
        over = self._over(years)
        wanted = [Period.over(years)] if over else list(self._dated(years))
        return [Layer(variable, period, self.mask, unit, over) for period in wanted for variable, unit in stated]

    def _over(self, years: Sequence[int]) -> OverYears | None:
        if not (name := self.statistic):
            return None
        least = self.least_years or max(LEAST[name], math.ceil(len(years) / 2))
        if len(years) < least:
            raise UserError(
                f"--period {name}: a cell must have {least} years, and {len(years)} are exported "
                f"({', '.join(map(str, years))}); give more with --years, or run them first"
            )
        return OverYears(name, tuple(years), least)

    def _dated(self, years: Sequence[int]) -> Iterator[Period]:
        there = [period for year in years for period in periods(year, self.period)]
        if absent := [date for date in self.dates if not any(period.lies_in(date) for period in there)]:
            raise UserError(
                f"--dates {','.join(absent)}: no such {_DATED[self.period]} in the years exported; "
                "write 2012-07 or 2012-07-15"
            )
        return (period for period in there if not self.dates or any(map(period.lies_in, self.dates)))

    def _units(self, variable: str) -> Sequence[Unit | None]:
        return [UNITS[name] for name in self.units if UNITS[name].variable == variable] or [None]
