"""The 19 inputs of KGML-ag-Carbon: their order, units and published scalers.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5. The means and standard deviations are
those of the full set of 10,335 *ecosys* simulations, printed in the PyKGML notebooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

CORN, SOYBEAN = 1, 5  # codes of the Cropland Data Layer, the network's `Crop_Type`
CROP_NAMES = {CORN: "corn", SOYBEAN: "soybean"}


class Scaler(NamedTuple):
    """Mean and standard deviation of a quantity: z = (value - mean) / std.

    >>> gpp = PUBLISHED_FEATURE_SCALERS[GPP]
    >>> round((0.0 - gpp.mean) / gpp.std, 5)  # no production, normalised
    -0.50178
    """

    mean: float
    std: float


@dataclass(frozen=True)
class Feature:
    """One input of the network."""

    name: str
    unit: str
    meaning: str
    varies: Literal["daily", "yearly", "never"]
    scaler: Scaler


def _feature(name: str, unit: str, meaning: str, varies: Literal["daily", "yearly", "never"], *z: float) -> Feature:
    return Feature(name, unit, meaning, varies, Scaler(*z))


FEATURES: tuple[Feature, ...] = (
    _feature("RADN", "MJ m-2 d-1", "down-welling short-wave radiation", "daily", 15.053108964474006, 7.326538061301864),
    _feature("TMAX_AIR", "degC", "daily maximum air temperature", "daily", 17.193964650486368, 12.213991763373388),
    _feature("TDIF_AIR", "degC", "daily range of air temperature", "daily", 9.976644474999615, 3.920628242251278),
    _feature("HMAX_AIR", "kPa", "daily maximum vapour pressure", "daily", 1.4331655554728224, 0.8649237300133734),
    _feature("HDIF_AIR", "kPa", "daily range of vapour pressure", "daily", 0.42117767163499437, 0.2976678281986924),
    _feature("WIND", "km d-1", "wind run at 10 m", "daily", 373.3158668814395, 144.32230851758112),
    _feature("PRECN", "mm d-1", "precipitation", "daily", 2.8037624222923756, 7.2096132460220135),
    _feature("Crop_Type", "1", "crop of the year: 1 corn, 5 soybean", "yearly", 3.000774068698597, 1.9999998502044234),
    _feature("GPP", "g m-2 d-1", "gross primary production, carbon", "daily", 2.8892129010294383, 5.757924175519595),
    _feature("Year", "1", "calendar year", "yearly", 2009.5, 5.188127472),
    _feature("TBKDS", "Mg m-3", "soil bulk density, 0-30 cm", "never", 1.3850725548995193, 0.10334471059856785),
    _feature("TSAND", "g kg-1", "soil sand, 0-30 cm", "never", 165.73811764894734, 179.75278592057546),
    _feature("TSILT", "g kg-1", "soil silt, 0-30 cm", "never", 591.1589363146128, 161.2505438232744),
    _feature(
        "TFC", "m3 m-3", "soil water at field capacity, 0-30 cm", "never", 0.2988145731775208, 0.04200548586636309
    ),
    _feature(
        "TWP", "m3 m-3", "soil water at wilting point, 0-30 cm", "never", 0.16535801808608863, 0.04892610339609015
    ),
    _feature("TKSat", "mm h-1", "saturated conductivity, 0-30 cm", "never", 30.943542166741274, 38.18836355218684),
    _feature("TSOC", "g kg-1", "soil organic carbon, 0-30 cm", "never", 17.082202355828215, 19.632706474926852),
    _feature("TPH", "1", "soil pH, 0-30 cm", "never", 6.237856846289411, 0.4814664318210326),
    _feature("TCEC", "cmol kg-1", "cation exchange capacity, 0-30 cm", "never", 20.170418101874997, 8.91454300038102),
)

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
# Positions in the order above, which is the network's and cannot be changed.
CLIMATE = slice(0, 7)
CROP_TYPE = FEATURE_NAMES.index("Crop_Type")
GPP = FEATURE_NAMES.index("GPP")
YEAR = FEATURE_NAMES.index("Year")
SOIL = slice(10, 19)
CLIMATE_NAMES = FEATURE_NAMES[CLIMATE]
SOIL_NAMES = FEATURE_NAMES[SOIL]

PUBLISHED_FEATURE_SCALERS: tuple[Scaler, ...] = tuple(feature.scaler for feature in FEATURES)
