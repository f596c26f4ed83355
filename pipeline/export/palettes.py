"""Colours of the layers, the same in the picture of a year, in GeoTIFFs and in styles; safe for colour-blind readers.

Ramps are matplotlib's, of ColorBrewer and cividis.

References
----------
ColorBrewer 2.0, https://colorbrewer2.org. Cividis: Nunez et al. (2018), doi:10.1371/journal.pone.0199239.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.features import CORN, SOYBEAN
from pipeline.variables import QUALITY_MEANINGS, Quality

CROP_COLOURS = {"corn": "#e0a526", "soybean": "#3f7f6b"}
# Grey is in none of the ramps: zero is nearly white in two of them.
NOT_GROWN, NOT_MODELLED, NO_REMARK = "#efe6cf", "#a6a9ad", "#f4f4f4"


@dataclass(frozen=True)
class Ramp:
    """Name of matplotlib's colours; `centred` puts 0 in their middle."""

    colours: str
    centred: bool = False

    def stops(self, count: int) -> list[str]:
        """Return evenly spaced colours from the lowest value to the highest.

        Examples
        --------
        >>> Ramp("BrBG", centred=True).stops(3)
        ['#543005', '#f4f5f5', '#003c30']
        """
        from matplotlib import colormaps
        from matplotlib.colors import to_hex

        return [to_hex(colour) for colour in colormaps[self.colours](np.linspace(0, 1, count))]


# Green is carbon that the land takes up, brown is carbon that it loses.
_RESPIRATION, _GAIN, _OTHER = Ramp("YlOrBr"), Ramp("BrBG", centred=True), Ramp("cividis")
_RAMPS = {
    "gpp": Ramp("YlGn"),
    "ra": _RESPIRATION,
    "rh": _RESPIRATION,
    "reco": _RESPIRATION,
    "nee": Ramp("BrBG_r", centred=True),
    **dict.fromkeys(("yield", "yield_t_ha", "yield_bu_acre"), Ramp("YlGnBu")),
    "residue": Ramp("YlGnBu"),
    **dict.fromkeys(("dsoc", "dsoc_balance", "dsoc_tco2e_acre"), _GAIN),
    "balance_residual": Ramp("PuOr", centred=True),
}
# More respiration is brown, more of what plants and soil take up is green.
_TRENDS = {
    **dict.fromkeys(("ra", "rh", "reco", "nee"), Ramp("BrBG_r", centred=True)),
    **dict.fromkeys(("gpp", "residue"), _GAIN),
    **{name: _GAIN for name in _RAMPS if name.startswith(("yield", "dsoc"))},
}


def ramp(variable: str) -> Ramp:
    """Return the colours of a variable, or of its mean or trend, by its name.

    Examples
    --------
    >>> ramp("gpp_mean").colours, ramp("gpp_trend").colours, ramp("ra_trend").colours
    ('YlGn', 'BrBG', 'BrBG_r')
    """
    if variable.endswith("_trend"):
        return _TRENDS.get(variable.removesuffix("_trend"), Ramp("PuOr", centred=True))
    return _RAMPS.get(variable.removesuffix("_mean"), _OTHER)


@dataclass(frozen=True)
class Class:
    """A value of a layer of codes: name, meaning and colour."""

    value: int
    name: str
    meaning: str
    colour: str


CROP_CLASSES = (
    Class(0, "none", "neither corn nor soybean", NOT_GROWN),
    Class(CORN, "corn", "corn", CROP_COLOURS["corn"]),
    Class(SOYBEAN, "soybean", "soybean", CROP_COLOURS["soybean"]),
)
EMPTY = "not_modelled"  # name of the value without data

# Sets of flags are shown by their highest bit.
QUALITY_CLASSES = (
    Class(0, "none", "no remark", NO_REMARK),
    *(
        Class(bit.value, str(bit.name).lower(), QUALITY_MEANINGS[bit], colour)
        for bit, colour in zip(Quality, Ramp("cividis_r").stops(len(Quality)), strict=True)
    ),
)


def classes(variable: str) -> tuple[Class, ...]:
    """Return the classes of a layer of codes or flags, none for all others."""
    return {"crop": CROP_CLASSES, "quality": QUALITY_CLASSES}.get(variable, ())
