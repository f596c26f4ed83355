"""Every variable that agcarbon writes: name, units, sign and long name, declared once.

Signs of the results: GPP, Ra, Rh and Reco are positive; NEE = Reco - GPP is positive to the atmosphere; yield >= 0;
dSOC = -NEE - yield is positive where the soil gains carbon. The CF units "g m-2" are grams of carbon.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag

import numpy as np


class Quality(IntFlag):
    """Bits of the annual quality layer, explained in `QUALITY_MEANINGS`; 0 is a cell-year without any remark."""

    NOT_GROWN = 1
    GPP_FILLED = 2
    GAP_YEAR_BEFORE = 4
    OUTSIDE_TRAINING = 8
    PARTIAL_SOIL = 16
    BEYOND_TRAINING_YEARS = 32
    MISSING = 64


QUALITY_MEANINGS = {
    Quality.NOT_GROWN: "corn + soybean below the threshold: the crop type comes from a smaller share or another year",
    Quality.GPP_FILLED: "gaps of GPP in the growing season were interpolated",
    Quality.GAP_YEAR_BEFORE: "the year before had no result: the carried state is older than a year",
    Quality.OUTSIDE_TRAINING: "inputs outside the ranges of the checkpoint's training data",
    Quality.PARTIAL_SOIL: "soil data do not cover the entire cell",
    Quality.BEYOND_TRAINING_YEARS: "calendar year outside those of the checkpoint's training data",
    Quality.MISSING: "inputs missing: no result, the state stays unchanged",
}


@dataclass(frozen=True)
class Variable:
    """A stored quantity and its CF attributes.

    Attributes
    ----------
    name
        Name of the array in the cube.
    units, long_name, cell_methods, standard_name
        CF attributes; the last two are left out if empty.
    dtype
        NumPy type of the stored values.
    scale
        Units of the variable in one unit of the stored integers; None: they are the values.
    missing
        Stored integer that stands for no value; None: there is a value everywhere.
    """

    name: str
    units: str
    long_name: str
    dtype: str = "float32"
    cell_methods: str = ""
    standard_name: str = ""
    scale: float | None = None
    missing: int | None = None

    @property
    def attributes(self) -> dict[str, object]:
        """CF attributes, except those of the grid."""
        named: dict[str, object] = {"units": self.units, "long_name": self.long_name}
        optional = {
            "cell_methods": self.cell_methods or None,
            "standard_name": self.standard_name or None,
            "scale_factor": self.scale,
            "_FillValue": self.missing,
        }
        return named | {key: value for key, value in optional.items() if value is not None}

    @property
    def fill_value(self) -> float | int:
        """Value where there is none: NaN for real numbers, `missing` or 0 for integers."""
        return np.nan if np.issubdtype(self.dtype, np.floating) else self.missing or 0


_MEAN, _SUM = "time: mean area: mean", "time: sum area: mean"

DAILY = (
    Variable(
        "ra", "g m-2 d-1", "autotrophic respiration, carbon", cell_methods=_MEAN,
        standard_name="surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_plant_respiration",
    ),
    Variable(
        "rh", "g m-2 d-1", "heterotrophic respiration, carbon", cell_methods=_MEAN,
        standard_name="surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_heterotrophic_respiration",
    ),
    Variable("nee", "g m-2 d-1", "net ecosystem exchange, carbon, positive to the atmosphere", cell_methods=_MEAN),
)  # fmt: skip

FLUXES = (
    Variable("gpp", "g m-2 yr-1", "gross primary production, carbon, input", cell_methods=_SUM),
    Variable("ra", "g m-2 yr-1", "autotrophic respiration, carbon", cell_methods=_SUM),
    Variable("rh", "g m-2 yr-1", "heterotrophic respiration, carbon", cell_methods=_SUM),
    Variable("reco", "g m-2 yr-1", "ecosystem respiration, carbon: ra + rh", cell_methods=_SUM),
    Variable("nee", "g m-2 yr-1", "net ecosystem exchange, carbon, positive to the atmosphere", cell_methods=_SUM),
    Variable("yield", "g m-2 yr-1", "grain yield, carbon", cell_methods=_SUM),
    Variable("residue", "g m-2 yr-1", "crop residue, carbon: gpp - ra - yield, not below 0", cell_methods=_SUM),
    Variable("dsoc", "g m-2 yr-1", "soil carbon change: -nee - yield, positive = gain", cell_methods=_SUM),
    Variable(
        "dsoc_balance", "g m-2 yr-1", "soil carbon change from the balance: gpp - ra - rh - yield", cell_methods=_SUM
    ),
    Variable("balance_residual", "g m-2 yr-1", "carbon balance residual: ra + rh - gpp - nee", cell_methods=_SUM),
)

ANNUAL = (
    *FLUXES,
    Variable("crop", "1", "crop type of the year: 1 corn, 5 soybean, 0 none", dtype="uint8"),
    Variable("quality", "1", "quality flags", dtype="uint16"),
    Variable("corn_fraction", "1", "share of the cell under corn"),
    Variable("soybean_fraction", "1", "share of the cell under soybean"),
)

MONTHLY = tuple(
    # Not "month-1": UDUNITS takes a month for a twelfth of a year. The standard names are those of rates.
    replace(flux, units="g m-2", long_name=f"{flux.long_name}, sum over the month", cell_methods=_SUM, standard_name="")
    for flux in DAILY
)


def _spread(flux: Variable) -> Variable:
    meaning = f"standard deviation over the ensemble's members (divisor: members - 1) of: {flux.long_name}"
    return replace(flux, name=f"{flux.name}_spread", long_name=meaning)


# Standard deviation over the members of an ensemble, by the name of the flux; GPP has none, since it is an input.
ENSEMBLE_STD = {flux.name: _spread(flux) for flux in FLUXES if flux.name != "gpp"}
MONTHLY_STD = {flux.name: _spread(flux) for flux in MONTHLY}


def flag_attributes(name: str) -> dict[str, object]:
    """Return the CF flag attributes of a layer of codes or flags; none for all others."""
    if name == "crop":
        return {"flag_values": [0, 1, 5], "flag_meanings": "none corn soybean"}
    if name == "quality":
        return {
            "flag_masks": [int(bit) for bit in Quality],
            "flag_meanings": " ".join(str(bit.name).lower() for bit in Quality),
        }
    return {}
