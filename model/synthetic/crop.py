"""Corn and soybean: thermal-time phenology, light-use efficiency, respiration, growth and grain, day by day.

Carbon is in g C m-2 and its fluxes in g C m-2 d-1; gross primary production and respiration are positive.

Shape legend: S sites.

References
----------
Monteith, J. L. (1977). Phil. Trans. R. Soc. B 281, 277-294. doi:10.1098/rstb.1977.0140 (light-use efficiency)
Running, S. W. et al. (2004). BioScience 54, 547-560. doi:10.1641/0006-3568(2004)054[0547:ACSMOG]2.0.CO;2 (its limits)
Penning de Vries, F. W. T. et al. (1989). Simulation of ecophysiological processes of growth in several annual crops.
    Pudoc, Wageningen (development, partitioning, costs of growth)
Amthor, J. S. (2000). Annals of Botany 86, 1-20. doi:10.1006/anbo.2000.1175 (growth and maintenance respiration)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.features import CORN
from model.synthetic.decomposition import Litter
from model.synthetic.weather import Array, Integers

EMERGED_LEAF_AREA = 0.12
"""Leaf area index at emergence, grown from the seed, m2 m-2."""
KILLING_FROST = -2.5
"""Lowest air temperature that a crop survives, degC."""
SHELTERED_STAGE = 0.6
"""Stage of development up to which the growing point is sheltered from frost."""
COLDEST, HEAT_RANGE = 5.0, 12.0
"""Daily mean temperature at which photosynthesis starts, and the rise above the heat limit that stops it, degC."""
STEM_ACTIVITY, GRAIN_ACTIVITY = 0.3, 0.2
"""Maintenance respiration of stems and roots, and of grain, relative to leaves."""
SEED_DEPTH_M, ROOTING_DEPTH_M = 0.15, 1.5
"""Depth of the roots at emergence, and from flowering on (FAO-56, table 22, corn: 1.0 to 1.7), m."""
EXUDATION = 0.06
"""Share of net growth that roots release to the soil (3 to 10 %: Pausch & Kuzyakov 2018, doi:10.1111/gcb.13850)."""
Q10 = 2.0
"""Factor of maintenance respiration over 10 degC."""
HALF_CONDUCTANCE = 0.8
"""Stomatal opening at half saturation of photosynthesis, which falls less in drought than transpiration does."""
REMOBILISATION = 0.007
"""Share of the carbon of stems that moves to filling grain in a day (Penning de Vries et al. 1989)."""
RESERVE_LOSS = 0.03
"""Largest share of leaves, stems and roots respired in a day whose photosynthesis does not cover maintenance."""
LITTER_FALL = 0.06
"""Share of dead leaves and roots that turns into litter in a day."""
GRAIN_LOSS = 0.03
"""Share of grain left on the field at harvest."""


@dataclass(frozen=True)
class Species:
    """Physiology of the crops of S sites, each (S,)."""

    base_temperature: Array  # of development, degC
    ceiling_temperature: Array  # of development, degC
    emergence: Array  # thermal time from planting, degC d
    vegetative_share: Array  # of the thermal time from emergence to maturity
    light_use_efficiency: Array  # unstressed, g C per MJ of absorbed PAR
    optimum_temperature: Array  # lowest daily mean of full photosynthesis, degC
    heat_temperature: Array  # highest daily mean of full photosynthesis, degC
    deficit_sensitivity: Array  # loss of photosynthesis per kPa of vapour pressure deficit above 1 kPa
    extinction: Array  # of light in the canopy
    specific_leaf_area: Array  # m2 per g C of leaf
    largest_leaf_area: Array  # leaf area index of a full canopy
    grain_start: Array  # development stage at which grain begins to fill
    grain_full: Array  # development stage from which growth is mostly grain
    grain_share: Array  # largest share of growth that is grain
    growth_cost: Array  # respired share of the growth of leaves, stems and roots
    grain_cost: Array  # respired share of the growth of grain
    maintenance: Array  # respiration of leaves at 25 degC, d-1
    metabolic_share: Array  # of litter; the rest is structural


PARAMETERS = {
    "base_temperature": (8.0, 8.0),
    "ceiling_temperature": (34.0, 33.0),
    "emergence": (75.0, 90.0),
    "vegetative_share": (0.45, 0.45),
    "light_use_efficiency": (1.98, 1.43),
    "optimum_temperature": (20.0, 19.0),
    "heat_temperature": (31.5, 32.0),
    "deficit_sensitivity": (0.10, 0.14),
    "extinction": (0.55, 0.60),
    "specific_leaf_area": (0.045, 0.055),
    "largest_leaf_area": (4.8, 5.0),
    "grain_start": (1.0, 1.1),
    "grain_full": (1.3, 1.5),
    "grain_share": (0.775, 0.525),
    "growth_cost": (0.26, 0.3),
    "grain_cost": (0.27, 0.38),
    "maintenance": (0.0215, 0.0275),
    "metabolic_share": (0.30, 0.55),
}
"""Value of each field of `Species` for corn and for soybean."""


def species_of(crop: Integers) -> Species:
    """Return the physiology of the crops of S sites from their codes (S,)."""
    # Each parameter becomes an array over sites, so that both crops are run in the same operations.
    return Species(**{name: np.where(crop == CORN, *values) for name, values in PARAMETERS.items()})


class Plant(NamedTuple):
    """Crop of S sites: organs in g C m-2, each (S,)."""

    thermal_time: Array  # since planting, degC d
    alive: NDArray[np.bool_]  # planted, not yet mature or frozen
    leaf: Array
    stem: Array
    root: Array
    grain: Array

    @property
    def carbon(self) -> Array:
        """(S,) carbon of all organs, g C m-2."""
        return self.leaf + self.stem + self.root + self.grain


class CropForcing(NamedTuple):
    """Forcing of a crop on one day, each (S,)."""

    tmean: Array  # degC
    tmin: Array  # degC
    par: Array  # MJ m-2 d-1
    deficit: Array  # vapour pressure deficit, kPa
    water_limit: Array  # 1 without drought, 0 at the wilting point


class Season(NamedTuple):
    """Crop and cultivar that S sites grow in a year, each (S,)."""

    species: Species
    requirement: Array  # thermal time from emergence to maturity, degC d
    efficiency: Array  # factor on light-use efficiency


class Growth(NamedTuple):
    """A crop after a day, with the day's autotrophic respiration (S,) and litter, g C m-2 d-1."""

    plant: Plant
    ra: Array
    litter: Litter


def bare(sites: int) -> Plant:
    """Return fields without a crop."""
    zero = np.zeros(sites)
    return Plant(zero, zero > 0, zero, zero, zero, zero)


def sow(plant: Plant, *, where: NDArray[np.bool_]) -> Plant:
    """Return the fields after some of them were sown; the carbon of the seed is neglected."""
    return plant._replace(thermal_time=np.where(where, 0.0, plant.thermal_time), alive=plant.alive | where)


class Harvest(NamedTuple):
    """Fields after a harvest, with the carbon of grain taken and of litter left, g C m-2, each (S,)."""

    plant: Plant
    yield_: Array
    litter: Litter


def harvest(plant: Plant, *, where: NDArray[np.bool_]) -> Harvest:
    """Take the grain of some fields and leave the rest as litter."""
    grain = where * plant.grain * (1 - GRAIN_LOSS)
    organs = [np.where(where, 0.0, organ) for organ in plant[2:]]
    root = where * plant.root
    litter = Litter(where * plant.carbon - grain - root, root, np.zeros_like(root))
    return Harvest(Plant(plant.thermal_time, plant.alive & ~where, *organs), grain, litter)


def thermal_units(tmean: Array, *, species: Species) -> Array:
    """Return the thermal time that a day of a mean temperature adds to development, degC d."""
    return np.clip(tmean, species.base_temperature, species.ceiling_temperature) - species.base_temperature


def development_stage(thermal_time: Array, *, season: Season) -> Array:
    """Return the stage of development: negative before emergence, 0 at emergence, 1 at flowering, 2 at maturity."""
    # Thermal time is split at flowering: each of the two phases is one unit of development, whatever its length.
    share = (thermal_time - season.species.emergence) / season.requirement
    flowering = season.species.vegetative_share
    return np.where(share < flowering, share / flowering, 1 + (share - flowering) / (1 - flowering))


def root_depth(plant: Plant, *, season: Season) -> Array:
    """Return the depth of the roots, (S,), m: they grow from emergence to flowering."""
    grown = np.clip(development_stage(plant.thermal_time, season=season), 0, 1)
    return SEED_DEPTH_M + (ROOTING_DEPTH_M - SEED_DEPTH_M) * grown


def light_interception(plant: Plant, *, season: Season) -> Array:
    """Return the share of light that the living canopy absorbs (Beer's law), 0 before emergence and after death."""
    emerged = plant.alive & (plant.thermal_time >= season.species.emergence)
    # Leaves from the seed give an emerging crop its first light.
    leaf_area = np.maximum(plant.leaf * season.species.specific_leaf_area, EMERGED_LEAF_AREA)
    closed = 1 - np.exp(-season.species.extinction * leaf_area)
    return np.where(emerged, closed, 0.0)


def photosynthesis(plant: Plant, *, season: Season, day: CropForcing) -> Array:
    """Return gross primary production (S,): absorbed light times efficiency times limits of temperature, air and water.

    References
    ----------
    Monteith (1977) for light-use efficiency, Running et al. (2004) for multiplying it with limits from 0 to 1.
    """
    species = season.species
    warmth = np.clip((day.tmean - COLDEST) / (species.optimum_temperature - COLDEST), 0, 1)
    heat = np.clip(1 - (day.tmean - species.heat_temperature) / HEAT_RANGE, 0, 1)
    dry_air = np.clip(1 - species.deficit_sensitivity * (day.deficit - 1.0), 0.3, 1)
    # A saturating function of stomatal opening, scaled to 1 without drought.
    moist_soil = day.water_limit * (1 + HALF_CONDUCTANCE) / (day.water_limit + HALF_CONDUCTANCE)
    efficiency = species.light_use_efficiency * season.efficiency * warmth * heat * dry_air * moist_soil
    return efficiency * day.par * light_interception(plant, season=season)


def grow(plant: Plant, *, season: Season, day: CropForcing, gpp: Array) -> Growth:
    """Advance the crop by one day of gross primary production `gpp`; GPP - Ra = change of its carbon + litter."""
    # Maintenance comes first and growth from the rest (Amthor 2000). Without enough photosynthesis, reserves are
    # respired, at most a fixed share of them a day, so that a crop in the dark starves and no organ becomes negative.
    maintained = plant.leaf + STEM_ACTIVITY * (plant.stem + plant.root) + GRAIN_ACTIVITY * plant.grain
    demand = plant.alive * season.species.maintenance * Q10 ** ((day.tmean - 25) / 10) * maintained
    reserves = plant.leaf + plant.stem + plant.root
    maintenance = np.minimum(demand, gpp + RESERVE_LOSS * reserves)
    stage = development_stage(plant.thermal_time, season=season)
    to_grain = _grain_share(stage, species=season.species)
    cost = season.species.growth_cost * (1 - to_grain) + season.species.grain_cost * to_grain
    assimilate = np.maximum(gpp - maintenance, 0)
    shares = _partition(plant, stage=stage, species=season.species)
    grown = _allocate(plant, growth=assimilate * (1 - cost) * (1 - EXUDATION), to_grain=to_grain, shares=shares)
    starved = _respire_reserves(grown, share=np.maximum(maintenance - gpp, 0) / np.maximum(reserves, 1e-12))
    filled = _remobilise(starved, to_grain=to_grain)
    aged = _age(filled, stage=stage, season=season, day=day)
    root = filled.root - aged.root
    # Litter is the carbon that ageing removed, so that the balance closes by construction.
    litter = Litter(filled.carbon - aged.carbon - root, root, assimilate * (1 - cost) * EXUDATION)
    return Growth(aged, maintenance + assimilate * cost, litter)


def _grain_share(stage: Array, *, species: Species) -> Array:
    """Return the share of growth that is grain."""
    filling = (stage - species.grain_start) / (species.grain_full - species.grain_start)
    return species.grain_share * np.clip(filling, 0, 1)


class _Shares(NamedTuple):
    leaf: Array
    root: Array


def _partition(plant: Plant, *, stage: Array, species: Species) -> _Shares:
    """Return the leaf and root shares of vegetative growth, falling with age; a full canopy grows no more leaves."""
    # Leaf growth fades over the last 1.5 units of leaf area.
    openness = np.clip((species.largest_leaf_area - plant.leaf * species.specific_leaf_area) / 1.5, 0, 1)
    root = 0.40 * np.clip(1 - stage, 0.05, 1)
    return _Shares((1 - root) * 0.80 * np.clip(1 - stage / 1.2, 0, 1) * openness, root)


def _allocate(plant: Plant, *, growth: Array, to_grain: Array, shares: _Shares) -> Plant:
    """Divide growth among the organs; stems take the remainder."""
    vegetative = growth * (1 - to_grain)
    return plant._replace(
        leaf=plant.leaf + vegetative * shares.leaf,
        root=plant.root + vegetative * shares.root,
        stem=plant.stem + vegetative * (1 - shares.leaf - shares.root),
        grain=plant.grain + growth * to_grain,
    )


def _remobilise(plant: Plant, *, to_grain: Array) -> Plant:
    """Move reserves from the stems of living crops into their filling grain."""
    moved = REMOBILISATION * to_grain * plant.alive * plant.stem
    return plant._replace(stem=plant.stem - moved, grain=plant.grain + moved)


def _respire_reserves(plant: Plant, *, share: Array) -> Plant:
    """Respire a share of leaves, stems and roots."""
    keep = 1 - share
    return plant._replace(leaf=plant.leaf * keep, stem=plant.stem * keep, root=plant.root * keep)


def _age(plant: Plant, *, stage: Array, season: Season, day: CropForcing) -> Plant:
    """Develop, shed old leaves, and die at maturity or by frost; dead leaves and roots become litter within weeks."""
    # Stems and grain of a dead crop stand until harvest.
    alive = plant.alive & (stage < 2) & ((day.tmin > KILLING_FROST) | (stage < SHELTERED_STAGE))
    leaf_loss = np.where(alive, 0.05 * np.clip((stage - 1.5) / 0.5, 0, 1), LITTER_FALL)
    root_loss = np.where(alive, 0.004, LITTER_FALL)
    progress = plant.alive * thermal_units(day.tmean, species=season.species)
    return plant._replace(
        thermal_time=plant.thermal_time + progress,
        alive=alive,
        leaf=plant.leaf * (1 - leaf_loss),
        root=plant.root * (1 - root_loss),
    )
