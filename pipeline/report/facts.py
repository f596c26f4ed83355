"""Sentences and numbers of the report, as its template needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from pipeline.access.zonal import T_CO2E_PER_G
from pipeline.aggregate.layout import county_sums
from pipeline.aggregate.sums import AREA_TYPES, interval_factor
from pipeline.analysis.subject import Subject
from pipeline.cube import members
from pipeline.report.counties import CountyTable
from pipeline.report.quantities import DSOC, QUANTITIES, UNIT, Quantity, number
from pipeline.report.values import RegionValues
from pipeline.sources.quickstats import M2_PER_ACRE
from pipeline.variables import QUALITY_MEANINGS, Quality

_M2_PER_KM2, _M2_PER_HA, _G_PER_T = 1e6, 1e4, 1e6


@dataclass(frozen=True)
class Headline:
    """A quantity in one number: its mean over area and years, other units, and the range of its annual means."""

    quantity: Quantity
    mean: str
    other: str
    years: str

    @classmethod
    def of(cls, values: RegionValues, each: Quantity) -> Headline:
        """Return the headline of a quantity."""
        mean, annual = values.whole_mean(each.name), values.annual_means(each.name)
        tonnes = mean * _M2_PER_HA / _G_PER_T
        other = f"{number(tonnes, 2)} t C ha⁻¹ yr⁻¹"
        if each is DSOC:
            other += f"; {number(mean * T_CO2E_PER_G * M2_PER_ACRE, 2)} t CO₂e acre⁻¹ yr⁻¹"
        present = annual[np.isfinite(annual)]
        years = f"years: {number(present.min())} to {number(present.max())}" if present.size > 1 else "one year"
        return cls(each, number(mean), other, years)


@dataclass(frozen=True)
class Remark:
    """A flag of the quality layer, its meaning, and the share of the modelled area that has it by year."""

    name: str
    meaning: str
    shares: Sequence[str]


def verdict(values: RegionValues) -> str:
    """Return the result in a sentence: area, direction and size of the soil carbon change."""
    mean = values.whole_mean(DSOC.name)
    area = values.area_m2_Y.mean()
    total_t = values.totals_g[DSOC.name].mean() / _G_PER_T
    direction = "gained" if mean > 0 else "lost"
    return (
        f"On average the soils under {number(area / _M2_PER_KM2)} km² of corn and soybean cropland {direction} "
        f"{number(abs(mean))} g of carbon per square metre and year, "
        f"{number(float(f'{abs(total_t):.3g}'))} tonnes of carbon a year in all."
    )


def certainty(subject: Subject, values: RegionValues, table: CountyTable | None) -> str:
    """Return how sure the mean soil carbon change is, as far as the cube knows."""
    annual = values.annual_means(DSOC.name)
    spread = number(float(annual.std(ddof=1)), 0) if annual.size > 1 else None
    years = f" Years differ by ±{spread} {UNIT} (standard deviation)." if spread else ""
    count = members.count(subject.cube.root)
    if count < 2 or table is None:
        why = "one network computed it" if count < 2 else "the aggregates are out of date"
        return f"No interval is given: {why}, so that errors of network and inputs are unknown here.{years}"
    sums = reduce(add, (county_sums(subject.cube.root, year) for year in subject.years)).whole()
    cells = AREA_TYPES.index("cells")
    half = float(interval_factor(count) * sums.spreads()[cells, DSOC.index])
    if not np.isfinite(half):
        return f"No interval is given: some tile-years have no results of the members.{years}"
    return (
        f"Soil carbon change {number(values.whole_mean(DSOC.name))} ± {number(half)} {UNIT}: the 90 % interval of "
        f"{count} networks, without errors of the inputs or those that all networks share.{years}"
    )


def remarks(values: RegionValues) -> Iterator[Remark]:
    """Yield a row for each flag with any area, after that of the area without any."""
    yield Remark("no remark", "nothing to remark", _shares(values.unremarked_m2_Y, values.area_m2_Y))
    for flag, flagged_m2_Y in zip(Quality, values.flagged_m2_FY, strict=True):
        if flagged_m2_Y.any():
            name = str(flag.name).lower().replace("_", " ")
            yield Remark(name, QUALITY_MEANINGS[flag], _shares(flagged_m2_Y, values.area_m2_Y))
    wanted = values.area_m2_Y + values.missing_m2_Y
    yield Remark("missing", QUALITY_MEANINGS[Quality.MISSING], _shares(values.missing_m2_Y, wanted))


def _shares(
    part: np.ndarray[tuple[int], np.dtype[np.float64]], whole: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> list[str]:
    return [number(100 * one / of, 1) + " %" if of else "–" for one, of in zip(part, whole, strict=True)]


def headlines(values: RegionValues) -> list[Headline]:
    """Return the headlines of all quantities."""
    return [Headline.of(values, each) for each in QUANTITIES]
