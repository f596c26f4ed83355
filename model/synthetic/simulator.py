"""Daily carbon budget of corn and soybean fields: crop, soil water and soil carbon coupled, over S sites at once.

Synthetic by construction: a compact process model in the spirit of the *ecosys* simulations that KGML-ag-Carbon
learned from, calibrated to their published annual means, and no substitute for them.

Shape legend: T days, Y years, S sites, H thermal layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.synthetic.crop import (
    CropForcing,
    Plant,
    Season,
    bare,
    grow,
    harvest,
    light_interception,
    photosynthesis,
    root_depth,
    sow,
    species_of,
    thermal_units,
)
from model.synthetic.decomposition import (
    METABOLIC,
    Litter,
    Turnover,
    abiotic_factor,
    add_litter,
    bury,
    decompose,
    disturb,
    initial_pools,
    turnover_of,
)
from model.synthetic.management import SEEDBED_DEPTH_M, Management
from model.synthetic.soil_temperature import THICKNESS_M, HeatForcing, advance_temperature
from model.synthetic.soil_water import (
    SoilWater,
    WaterForcing,
    advance_water,
    field_capacity_state,
    reference_evapotranspiration,
    water_limit,
)
from model.synthetic.soils import Soils
from model.synthetic.weather import Array, Dates, SyntheticInputError, Weather

SPIN_UP_YEARS = 2
"""First years that are run once before the simulation, from bare soil, to give the state of the first day; the network
spins up in the same way."""
PAR_SHARE = 0.48
"""Photosynthetically active share of short-wave radiation."""
RIPENING_DAY = 263
"""Day of year on which cultivars ripen in an average season (20 September)."""
REQUIREMENT_RANGE = (850.0, 2000.0)
"""Thermal time from emergence to maturity of the cultivars on the market, degC d."""
GENETIC_GAIN = 0.003
"""Yearly relative gain of light-use efficiency by breeding, from 2010."""


@dataclass(frozen=True)
class Simulation:
    """Carbon of S sites over T days and Y years; respiration positive, NEE positive to the atmosphere.

    Attributes
    ----------
    dates : (T,) datetime64[D].
    gpp, ra, rh : (T, S) g C m-2 d-1.
    carbon : (T, S) carbon of plants, litter and soil at the end of the day, g C m-2.
    yield_ : (Y, S) grain carbon harvested, g C m-2 yr-1.
    """

    dates: Dates
    gpp: Array
    ra: Array
    rh: Array
    carbon: Array
    yield_: Array

    @property
    def nee(self) -> Array:
        """(T, S) net ecosystem exchange = Ra + Rh - GPP, g C m-2 d-1."""
        return self.ra + self.rh - self.gpp


class _Ecosystem(NamedTuple):
    plant: Plant
    water: SoilWater
    temperature: Array  # (H, S) of the thermal layers, degC
    pools: Array  # (7, S) litter and soil carbon, g C m-2
    disturbance: Array  # (S,) relative gain of decomposition by tillage

    @property
    def carbon(self) -> Array:
        soil: Array = self.pools.sum(0)
        return self.plant.carbon + soil


class _Forcing(NamedTuple):
    """Weather and field work, each (T, S), or (S,) for one day."""

    tmean: Array
    tmin: Array
    radn: Array
    deficit: Array
    precn: Array
    demand: Array
    sown: NDArray[np.bool_]
    harvested: NDArray[np.bool_]
    tillage: Array  # depth, m
    gpp: Array  # NaN where the crop's photosynthesis is simulated


class _Step(NamedTuple):
    ecosystem: _Ecosystem
    gpp: Array
    ra: Array
    rh: Array
    yield_: Array


def simulate(weather: Weather, *, soils: Soils, management: Management, gpp: Array | None = None) -> Simulation:
    """Return the carbon of S sites over the years of the weather, from the state after a two-year spin-up.

    Parameters
    ----------
    weather, soils, management
        Of the same sites and years.
    gpp : (T, S)
        Gross primary production that replaces the simulated one, g C m-2 d-1, as the network takes it; NaN where it is
        to be simulated.

    Raises
    ------
    SyntheticInputError
        If soils, management or production are of other sites or years than the weather, or production is negative.
    """
    _check(weather, soils=soils, management=management)
    given = np.full(weather.radn.shape, np.nan) if gpp is None else gpp
    if given.shape != weather.radn.shape:
        raise SyntheticInputError(
            f"production has the shape (days, sites) {given.shape}, the weather {weather.radn.shape}"
        )
    if np.any(given < 0):
        raise SyntheticInputError(
            f"production of {np.nanmin(given):g} g C m-2 d-1 is negative; give 0 where a tower reports less"
        )
    return _run(_Model.of(weather, soils=soils, management=management, gpp=given), weather=weather)


def _run(model: _Model, *, weather: Weather) -> Simulation:
    ecosystem = _initial(weather, soils=model.soils)
    # The spin-up replays the first years; only the state that it ends with is kept.
    for t in range(int((model.year < SPIN_UP_YEARS).sum())):
        ecosystem = model.step(ecosystem, t).ecosystem
    gpp, ra, rh, carbon, yield_ = (np.empty(weather.radn.shape) for _ in range(5))
    for t in range(len(model.year)):
        step = model.step(ecosystem, t)
        ecosystem = step.ecosystem
        gpp[t], ra[t], rh[t], carbon[t], yield_[t] = step.gpp, step.ra, step.rh, ecosystem.carbon, step.yield_
    return Simulation(weather.dates, gpp, ra, rh, carbon, annual_sum(yield_, dates=weather.dates))


def _initial(weather: Weather, *, soils: Soils) -> _Ecosystem:
    """Return bare soil at field capacity and at the mean temperature of the air."""
    temperature = np.broadcast_to(weather.tmean_air.mean(0), (len(THICKNESS_M), weather.sites))
    water, pools = field_capacity_state(soils), initial_pools(soils)
    return _Ecosystem(bare(weather.sites), water, temperature, pools, np.zeros(weather.sites))


def annual_sum(daily: Array, *, dates: Dates) -> Array:
    """Return sums over calendar years, (Y, S), of daily values, (T, S).

    >>> dates = np.arange("2003-01-01", "2005-01-01", dtype="datetime64[D]")
    >>> annual_sum(np.ones((731, 2)), dates=dates).tolist()
    [[365.0, 365.0], [366.0, 366.0]]
    """
    # The first day of each year; `prepend` makes the first day of all a start.
    starts = np.flatnonzero(np.diff(dates.astype("datetime64[Y]").astype(np.int64), prepend=-1))
    return np.add.reduceat(daily, starts, axis=0)


def _check(weather: Weather, *, soils: Soils, management: Management) -> None:
    expected = (len(weather.years), weather.sites)
    if management.crop.shape != expected:
        raise SyntheticInputError(
            f"management has the shape (years, sites) {management.crop.shape}, the weather {expected}"
        )
    if soils.sand.shape != expected[1:]:
        raise SyntheticInputError(f"soils have the shape (sites,) {soils.sand.shape}, the weather {expected[1:]}")


@dataclass(frozen=True)
class _Model:
    """The coupled processes with their forcing."""

    year: NDArray[np.int64]  # (T,) index of each day's year
    forcing: _Forcing
    seasons: tuple[Season, ...]  # by year
    soils: Soils
    turnover: Turnover

    @classmethod
    def of(cls, weather: Weather, *, soils: Soils, management: Management, gpp: Array) -> _Model:
        year = weather.calendar_year - weather.years[0]
        seasons = _seasons(weather, management=management)
        forcing = _forcing(weather, management=management, gpp=gpp)
        return cls(year, forcing, seasons, soils, turnover_of(soils))

    def step(self, before: _Ecosystem, t: int) -> _Step:
        """Advance by one day: sowing, soil climate, crop, harvest, tillage, decomposition, in this order."""
        day, season = _Forcing(*(values[t] for values in self.forcing)), self.seasons[self.year[t]]
        plant = sow(before.plant, where=day.sown)
        cover, depth = light_interception(plant, season=season), root_depth(plant, season=season)
        limit = water_limit(before.water, soils=self.soils, root_depth=depth)
        # The crop of a day is limited by the water of the day before: photosynthesis comes before the soil's balance.
        forcing = CropForcing(day.tmean, day.tmin, PAR_SHARE * day.radn, day.deficit, limit)
        simulated = photosynthesis(plant, season=season, day=forcing)
        # Given production replaces the simulated one; growth, respiration and litter follow from it.
        gpp = np.where(np.isnan(day.gpp), simulated, day.gpp)
        growth = grow(plant, season=season, day=forcing, gpp=gpp)
        taken = harvest(growth.plant, where=day.harvested)
        water_day = WaterForcing(day.tmean, day.precn, day.demand, cover, depth)
        water = advance_water(before.water, soils=self.soils, day=water_day).water
        heat_day = HeatForcing(day.tmean, day.radn, cover)
        temperature = advance_temperature(before.temperature, water=water, soils=self.soils, day=heat_day)
        factor = abiotic_factor(water, temperature=temperature, soils=self.soils)
        # Litter of ageing and litter of harvest are one.
        litter = Litter(*map(np.add, growth.litter, taken.litter))
        pools = add_litter(before.pools, litter=litter, metabolic_share=season.species.metabolic_share)
        disturbance = disturb(before.disturbance, depth=day.tillage)
        factor[METABOLIC:] *= 1 + disturbance  # tillage stirs the soil; litter on the ground is not stirred
        decay = decompose(bury(pools, depth=day.tillage), turnover=self.turnover, factor=factor)
        after = _Ecosystem(taken.plant, water, temperature, decay.pools, disturbance)
        return _Step(after, gpp, growth.ra, decay.rh, taken.yield_)


def _forcing(weather: Weather, *, management: Management, gpp: Array) -> _Forcing:
    year, day_of_year = weather.calendar_year - weather.years[0], weather.day_of_year[:, None]
    sown, harvested = management.planting[year] == day_of_year, management.harvest[year] == day_of_year
    return _Forcing(
        tmean=weather.tmean_air,
        tmin=weather.tmax_air - weather.tdif_air,
        radn=weather.radn,
        deficit=weather.vapour_pressure_deficit,
        precn=weather.precn,
        demand=reference_evapotranspiration(weather),
        sown=sown,
        harvested=harvested,
        tillage=sown * SEEDBED_DEPTH_M + harvested * management.stubble_depth[year],
        gpp=gpp,
    )


def _seasons(weather: Weather, *, management: Management) -> tuple[Season, ...]:
    """Return cultivars that ripen on RIPENING_DAY in a site's average season, with each year's crop efficiency."""
    # Farmers choose a cultivar by their climate: its thermal requirement is that of the site's mean season, within the
    # range on the market, and not of the year's own, so that cold years ripen late.
    normal = np.stack([weather.tmean_air[weather.day_of_year == day].mean(0) for day in range(1, RIPENING_DAY + 1)])
    return tuple(
        _season(normal, crop=crop, planting=planting, efficiency=management_factor * (1 + GENETIC_GAIN * (year - 2010)))
        for year, crop, planting, management_factor in zip(
            weather.years, management.crop, management.planting, management.management_factor, strict=True
        )
    )


def _season(normal: Array, *, crop: NDArray[np.int64], planting: NDArray[np.int64], efficiency: Array) -> Season:
    species = species_of(crop)
    growing = np.arange(1, RIPENING_DAY + 1)[:, None] >= planting
    available = (growing * thermal_units(normal, species=species)).sum(0) - species.emergence
    return Season(species, np.clip(available, *REQUIREMENT_RANGE), efficiency)
