"""Classes of soils: USDA texture, and the water that a soil holds for plants.

References
----------
USDA Natural Resources Conservation Service, Soil Survey Manual (2017), chapter 3: texture classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.features import SOIL_NAMES
from pipeline.analysis.cells import Floats

TEXTURES = (
    "sand", "loamy sand", "sandy loam", "loam", "silt loam", "silt", "sandy clay loam", "clay loam", "silty clay loam",
    "sandy clay", "silty clay", "clay",
)  # fmt: skip
WATER = ("below 0.10 m3 m-3", "0.10 to 0.15 m3 m-3", "0.15 m3 m-3 and more")
_WATER_LIMITS = (0.10, 0.15)


def texture(sand: Floats, silt: Floats) -> NDArray[np.intp]:
    """Return the number in `TEXTURES` of soils with these per cent of sand and silt; clay is the rest.

    Examples
    --------
    >>> found = texture(np.array([90.0, 40.0, 10.0, 20.0]), np.array([5.0, 40.0, 60.0, 20.0]))
    >>> [TEXTURES[number] for number in found]
    ['sand', 'loam', 'silty clay loam', 'clay']
    """
    clay = 100 - sand - silt
    conditions = {
        "sand": silt + 1.5 * clay < 15,
        "loamy sand": silt + 2 * clay < 30,
        "sandy loam": (clay < 7) & (silt < 50) | (clay < 20) & (sand > 52),
        "loam": (clay >= 7) & (clay < 27) & (silt >= 28) & (silt < 50) & (sand <= 52),
        "silt": (silt >= 80) & (clay < 12),
        "silt loam": (silt >= 50) & (clay < 27),
        "sandy clay loam": (clay >= 20) & (clay < 35) & (silt < 28) & (sand > 45),
        "clay loam": (clay >= 27) & (clay < 40) & (sand > 20) & (sand <= 45),
        "silty clay loam": (clay >= 27) & (clay < 40) & (sand <= 20),
        "sandy clay": (clay >= 35) & (sand > 45),
        "silty clay": (clay >= 40) & (silt >= 40),
    }
    numbers = [TEXTURES.index(name) for name in conditions]
    return np.select(list(conditions.values()), numbers, TEXTURES.index("clay"))


def soil_classes(soil_9N: Floats) -> dict[str, NDArray[np.intp]]:
    """Return the classes of cells (N,) by scheme: numbers in `SCHEMES`."""
    of = dict(zip(SOIL_NAMES, soil_9N, strict=True))
    g_per_kg_in_percent = 10
    water = of["TFC"] - of["TWP"]
    return {
        "texture": texture(of["TSAND"] / g_per_kg_in_percent, of["TSILT"] / g_per_kg_in_percent),
        "available water": np.digitize(water, _WATER_LIMITS),
    }


SCHEMES = {"texture": TEXTURES, "available water": WATER}
