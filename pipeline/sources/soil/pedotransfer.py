"""Water that a soil holds, and how fast it lets it through, from what soil maps tell.

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

FIELD_CAPACITY_KPA, WILTING_POINT_KPA = 33.0, 1500.0  # suctions
SAXTON_RAWLS = "Saxton and Rawls (2006), doi:10.2136/sssaj2005.0117, at normal density"
VAN_GENUCHTEN = "van Genuchten (1980), doi:10.2136/sssaj1980.03615995004400050002x"

Array = NDArray[np.float64]


def texture_water(sand_g_kg: Array, *, silt_g_kg: Array, soc_g_kg: Array) -> WaterRetention:
    """Return field capacity, wilting point [m3 m-3] and conductivity [mm h-1] from texture and organic carbon.

    Of Saxton and Rawls' equations those without their adjustments for density, gravel and salinity; what is neither
    sand nor silt is clay. They were fitted to less than 8 % organic matter, which is the most that they are given here,
    and to less than 60 % clay, beyond which they extrapolate.

    Parameters
    ----------
    sand_g_kg, silt_g_kg
        Of the fine earth.
    soc_g_kg
        Organic carbon.
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
        """Return the water that is held against a suction [m3 m-3]: his equation 3, with m = 1 - 1/n."""
        emptied = (1 + (self.alpha_per_kpa * suction_kpa) ** self.n) ** (1 - 1 / self.n)
        return self.theta_r + (self.theta_s - self.theta_r) / emptied
