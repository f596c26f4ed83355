"""Units in which farmers and markets state yield and soil carbon change: factors from g C m-2, by crop. Pure.

Grain is at the moisture of the market, with the weights, moistures and carbon contents of the published evaluation of
KGML-ag-Carbon (`pipeline.sources.quickstats.GRAINS`). Signs are those of the variables: soil carbon change in t CO2e is
positive where the soil gains carbon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.sources.quickstats import GRAINS, M2_PER_ACRE
from pipeline.variables import Variable

CO2_PER_C = 44 / 12  # molar masses, as in the inventories of the IPCC
_TONNES_PER_GRAM = 1e-6
_M2_PER_HA = 1e4


@dataclass(frozen=True)
class Unit:
    """A unit of a variable.

    Attributes
    ----------
    name
        Name on the command line, such as bu/acre.
    variable
        Name of the variable that may be stated in it.
    suffix
        Part of the names of the converted variable and its files.
    units, meaning
        Units in CF's spelling, and what they are of, for the long name.
    factors
        Factor from g C m-2 yr-1 by crop code, or one for all cells.
    """

    name: str
    variable: str
    suffix: str
    units: str
    meaning: str
    factors: Mapping[int, float] | float

    @property
    def needs_crop(self) -> bool:
        """Whether the factor depends on the crop."""
        return not isinstance(self.factors, float)

    def described(self, variable: Variable) -> Variable:
        """Return the variable with the name, units and long name that it has in this unit."""
        return replace(
            variable,
            name=f"{variable.name}_{self.suffix}",
            units=self.units,
            long_name=f"{variable.long_name}; {self.meaning}",
        )

    def factor(self, crop: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the factor of each cell from its crop code; NaN where the unit is not defined for the crop.

        Examples
        --------
        >>> (476.8 * UNITS["bu/acre"].factor(np.array([1, 5, 0]))).round(1).tolist()
        [200.0, 150.9, nan]
        """
        if isinstance(self.factors, float):
            return np.full(crop.shape, self.factors)
        found = np.full(crop.shape, np.nan)
        for code, factor in self.factors.items():
            found[crop == code] = factor
        return found


_ALL = (
    Unit(
        "t/ha", "yield", "t_ha", "t ha-1 yr-1", "grain at market moisture",
        {
            code: _TONNES_PER_GRAM * _M2_PER_HA / grain.carbon / (1 - grain.moisture)
            for code, grain in GRAINS.items()
        },
    ),
    Unit(
        "bu/acre", "yield", "bu_acre", "bu acre-1 yr-1", "bushels at market moisture: 56 lb of corn, 60 lb of soybean",
        {code: 1 / grain.gc_m2_per_bu_ac for code, grain in GRAINS.items()},
    ),
    Unit(
        "tCO2e/acre", "dsoc", "tco2e_acre", "t acre-1 yr-1", "as CO2",
        _TONNES_PER_GRAM * M2_PER_ACRE * CO2_PER_C,
    ),
)  # fmt: skip
UNITS = {unit.name: unit for unit in _ALL}
