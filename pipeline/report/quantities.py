"""The quantities of the report, with their names and signs in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.features import CORN, CROP_NAMES, SOYBEAN
from pipeline.variables import FLUXES

UNIT = "g C m⁻² yr⁻¹"
CROPS = {CROP_NAMES[code]: code for code in (CORN, SOYBEAN)}


@dataclass(frozen=True)
class Quantity:
    """An annual flux.

    Attributes
    ----------
    name
        Name in the cube.
    title, meaning
        Title, and meaning with its sign, in plain words.
    low, high
        Limits of its distribution [g C m-2 yr-1]; what lies beyond counts at the ends.
    """

    name: str
    title: str
    meaning: str
    low: float
    high: float

    @property
    def index(self) -> int:
        """Place among `FLUXES`."""
        return next(index for index, flux in enumerate(FLUXES) if flux.name == self.name)


DSOC = Quantity(
    "dsoc", "Soil carbon change", "positive where the soil gains carbon, fresh residue included", -2000, 2000
)
QUANTITIES = (
    DSOC,
    Quantity("nee", "Net ecosystem exchange (NEE)", "negative where the field takes up CO₂ from the air", -4000, 4000),
    Quantity("yield", "Grain yield", "carbon in the grain that is harvested", -1000, 3000),
    Quantity(
        "gpp", "Gross primary production (GPP)", "carbon fixed by photosynthesis; an input, not a result", 0, 8000
    ),
)


def number(value: float, digits: int = 0) -> str:
    """Return a number with a minus sign and separators of thousands; a dash for NaN.

    Examples
    --------
    >>> number(-1234.56, 1), number(-0.2), number(float("nan"))
    ('−1,234.6', '0', '–')
    """
    if not math.isfinite(value):
        return "–"
    text = f"{value:,.{digits}f}"
    return (text.lstrip("-") if float(text.replace(",", "")) == 0 else text).replace("-", "\N{MINUS SIGN}")
