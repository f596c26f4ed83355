"""Water retention and hydraulic conductivity of soils from the properties that soil maps have.

References
----------
Saxton, K. E. & Rawls, W. J. (2006), Soil Science Society of America Journal 70, 1569-1578,
doi:10.2136/sssaj2005.0117. van Genuchten, M. Th. (1980), Soil Science Society of America Journal 44, 892-898,
doi:10.2136/sssaj1980.03615995004400050002x.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.synthetic.soils import WaterRetention, water_retention
from pipeline.sources.soil.product import OM_PER_SOC

# Suctions: 1/3 bar and 15 bar, as in gSSURGO's columns wthirdbar and wfifteenbar.
FIELD_CAPACITY_KPA, WILTING_POINT_KPA = 33.0, 1500.0
SAXTON_RAWLS = "Saxton and Rawls (2006), doi:10.2136/sssaj2005.0117, at normal density"
VAN_GENUCHTEN = "van Genuchten (1980), doi:10.2136/sssaj1980.03615995004400050002x"

Array = NDArray[np.float64]


def texture_water(sand_g_kg: Array, *, silt_g_kg: Array, soc_g_kg: Array) -> WaterRetention:
    """Return field capacity, wilting point [m3 m-3] and conductivity [mm h-1] from texture and organic carbon.

    These are the equations of Saxton and Rawls without their adjustments for density, gravel and salinity; the rest of
    sand and silt is clay, and the conductivity is that of saturated soil. They were fitted to soils with less than 8 %
    organic matter, at which it is capped here, and less than 60 % clay, beyond which they extrapolate.

    Parameters
    ----------
    sand_g_kg, silt_g_kg
        Sand and silt [g kg-1 of fine earth].
    soc_g_kg
        Organic carbon [g kg-1].

    Examples
    --------
    A silt loam with 20 % clay and 2.5 % organic matter:

    >>> water = texture_water(np.array([200.0]), silt_g_kg=np.array([600.0]), soc_g_kg=np.array([14.5]))
    >>> [float(values[0].round(3)) for values in (water.field_capacity, water.wilting_point)]
    [0.321, 0.137]
    """
    sand, clay = sand_g_kg / 1000, (1000 - sand_g_kg - silt_g_kg) / 1000
    return water_retention(sand, clay=clay.clip(min=0), organic_matter=soc_g_kg * OM_PER_SOC / 10)


class RetentionCurve(NamedTuple):
    """Parameters of van Genuchten's curve: residual and saturated water [m3 m-3], alpha [kPa-1] and n [1]."""

    theta_r: Array
    theta_s: Array
    alpha_per_kpa: Array
    n: Array

    def water(self, suction_kpa: float) -> Array:
        """Return the water content [m3 m-3] at a suction: equation 3 of van Genuchten (1980), with m = 1 - 1/n.

        Examples
        --------
        >>> loam = RetentionCurve(np.array([0.08]), np.array([0.43]), np.array([0.37]), np.array([1.56]))
        >>> float(loam.water(FIELD_CAPACITY_KPA)[0].round(3)), float(loam.water(WILTING_POINT_KPA)[0].round(3))
        (0.166, 0.09)
        """
        emptied = (1 + (self.alpha_per_kpa * suction_kpa) ** self.n) ** (1 - 1 / self.n)
        return self.theta_r + (self.theta_s - self.theta_r) / emptied
