"""Plausible values of inputs: limits of every variable of the inputs store, with their reasons and the likely causes.

`low` and `high` are physical limits: a cell or day outside them is an error of the archive or of its reading. Values in
a larger unit (m s-1 for km d-1, % for g kg-1) may all lie inside them; they show in the mean over region and year,
which has limits of its own.

References
----------
[1] Allen et al. (1998), FAO Irrigation and Drainage Paper 56, table 2.6: extraterrestrial radiation.
[2] World Meteorological Organization, World Weather and Climate Extremes Archive, https://wmo.asu.edu.
[3] USDA-NRCS, gSSURGO, table `mdstattabcols`: least and largest value of each column, in its units.
[4] Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5: crop GPP of the Midwest.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plausible:
    """Limits of one variable, in its units of the inputs store.

    Attributes
    ----------
    low, high
        Limits of every value.
    mean_low, mean_high
        Limits of the mean over a region and a year.
    source
        Reason; numbers in brackets are the references of this module.
    cause
        Likely cause of values outside the limits.
    """

    name: str
    units: str
    low: float
    high: float
    mean_low: float
    mean_high: float
    source: str
    cause: str

    @property
    def slack(self) -> float:
        """Excess over a limit that rounding explains, in the variable's units: shares are sums of many in float32."""
        return _ROUNDING * (self.high - self.low)


_ROUNDING = 1e-4  # of the width of the limits, or of a mean

_FRACTION = "a share of 1"
_PER_CENT = "per cent where a share of 1 is expected"
_DAYS = "days of a year"
_KELVIN = "kelvin where degrees Celsius are expected, or a fill value that was read as data"
_FILL = "a fill value that was read as data"
_CONVERTED = "a column of another survey, converted with the wrong factor"

LIMITS: dict[str, tuple[Plausible, ...]] = {
    "climate": (
        Plausible("radn", "MJ m-2 d-1", 0, 45, 3, 32, "[1]: at most 42 above the atmosphere at 25-53 N",
                  "W m-2 where MJ m-2 d-1 are expected"),
        Plausible("tmax_air", "degC", -50, 55, -10, 40, "[2]: at most 56.7 observed", _KELVIN),
        Plausible("tdif_air", "K", 0, 40, 2, 25, "a 12 km cell varies less than the record at a station, 56", _KELVIN),
        Plausible("tmin_air", "degC", -60, 45, -25, 30, "[2]: at least -63 observed in North America", _KELVIN),
        Plausible("hmax_air", "kPa", 0, 5, 0.1, 3.5, "saturation at a dew point of 33 degC, the highest of the USA",
                  "hPa or Pa where kPa are expected"),
        Plausible("hdif_air", "kPa", 0, 5, 0.02, 1.5, "no larger than the daily maximum",
                  "hPa or Pa where kPa are expected"),
        Plausible("hmin_air", "kPa", 0, 5, 0.03, 3.3, "humidity is not negative",
                  "maximum and range of vapour pressure from different days or units"),
        Plausible("wind", "km d-1", 0, 3000, 60, 900, "35 m s-1 all day is a hurricane",
                  "m s-1 where km d-1 are expected"),
        Plausible("precn", "mm d-1", 0, 500, 0.05, 15, "hurricanes bring that to a 12 km cell",
                  "metres, or a rate per second, where mm d-1 are expected"),
        Plausible("filled_hours", "1", 0, 8784, 0, 8784, "hours of a year", _FILL),
    ),
    "gpp": (
        Plausible("gpp", "g m-2 d-1", 0, 40, 0.1, 15, "maize peaks near 30",
                  "the setting `scale` of the archive, or a fill value that was read as data"),
        Plausible("annual_gpp", "g m-2 yr-1", 0, 4500, 50, 3500, "tropical forest has 3500",
                  "the setting `scale` of the archive, or a fill value that was read as data"),
        Plausible("annual_crop_gpp", "g m-2 yr-1", 0, 3500, 300, 2500, "[4]: 600 to 1900 by county",
                  "the setting `scale` of the archive, or GPP and crop layer of different places"),
        Plausible("filled_days", "1", 0, 366, 0, 366, _DAYS, _FILL),
        Plausible("dormant_days", "1", 0, 366, 0, 366, _DAYS, _FILL),
        Plausible("longest_gap_days", "1", 0, 366, 0, 366, _DAYS, _FILL),
    ),
    "gpp_uncertainty": (
        Plausible("gpp_uncertainty", "g m-2 d-1", 0, 40, 0, 15, "no more than GPP itself can be",
                  "the scale of the layer, or a fill value that was read as data"),
    ),
    "soil": (
        Plausible("tbkds", "Mg m-3", 0.02, 2.6, 0.6, 1.9, "[3]: peat to rock", "kg m-3 where Mg m-3 are expected"),
        Plausible("tsand", "g kg-1", 0, 1000, 15, 985, "[3]: a share of the fine earth",
                  "per cent where g kg-1 are expected"),
        Plausible("tsilt", "g kg-1", 0, 1000, 15, 985, "[3]: a share of the fine earth",
                  "per cent where g kg-1 are expected"),
        Plausible("sand_and_silt", "g kg-1", 0, 1000, 50, 1000, "shares of the same fine earth",
                  "sand and silt of different layers or components"),
        Plausible("tfc", "m3 m-3", 0, 1, 0.05, 0.6, "a share of the soil's volume", _PER_CENT),
        Plausible("twp", "m3 m-3", 0, 1, 0.01, 0.45, "a share of the soil's volume", _PER_CENT),
        Plausible("available_water", "m3 m-3", 0, 1, 0.02, 0.45, "field capacity is no less than wilting point",
                  "field capacity and wilting point mistaken for each other, or from different components"),
        Plausible("tksat", "mm h-1", 0, 2538, 1, 900, "[3]: at most 705 um s-1",
                  "um s-1, cm h-1 or its logarithm where mm h-1 are expected"),
        Plausible("tsoc", "g kg-1", 0, 580, 3, 300, "[3]: organic matter is at most 100 %, 58 % of it carbon",
                  "per cent, or organic matter, where g kg-1 of carbon are expected"),
        Plausible("tph", "1", 1.8, 11, 4, 9.5, "[3]", _CONVERTED),
        Plausible("tcec", "cmol kg-1", 0, 400, 1, 150, "[3]", "mmol kg-1 where cmol kg-1 are expected"),
        Plausible("soil_coverage", "1", 0, 1, 0, 1, _FRACTION, _PER_CENT),
        Plausible("soc_stock", "g m-2", 0, 2e5, 200, 8e4, "30 cm of the densest peat contain less",
                  "kg m-2 or Mg ha-1 where g m-2 are expected"),
        Plausible("soil_depth", "cm", 0, 30, 5, 30, "the mean is over 0-30 cm", "metres or mm where cm are expected"),
        Plausible("soil_percent", "%", 0, 100, 5, 100, "a share of 100", "a share of 1 where per cent are expected"),
        Plausible("soc_stock_200", "g m-2", 0, 1e6, 500, 4e5, "2 m of the densest peat contain less",
                  "kg m-2 or Mg ha-1 where g m-2 are expected"),
        Plausible("soc_depth_200", "cm", 0, 200, 5, 200, "the stock is of 0-200 cm",
                  "metres or mm where cm are expected"),
    ),
    "crop": (
        Plausible("corn_fraction", "1", 0, 1, 0, 1, _FRACTION, _PER_CENT),
        Plausible("soybean_fraction", "1", 0, 1, 0, 1, _FRACTION, _PER_CENT),
        Plausible("corn_and_soybean", "1", 0, 1, 0, 1, "shares of the same cell",
                  "one crop code counted as both crops; see the settings of [crop]"),
        Plausible("covered", "1", 0, 1, 0, 1, _FRACTION, _PER_CENT),
        Plausible("crop_layer", "1", 0, 2, 0, 2, "there are two layers", _FILL),
    ),
}  # fmt: skip


def plausible(product: str, variable: str) -> Plausible | None:
    """Return the limits of a variable, stored or derived, of a product; None if it has none."""
    return next((limits for limits in LIMITS[product] if limits.name == variable), None)


def faults(
    product: str, variable: str, minimum: float | None, maximum: float | None, *, mean: float | None = None
) -> str | None:
    """Say in a sentence which limits a variable breaks and why that happens; None where all is plausible.

    Parameters
    ----------
    minimum, maximum
        Of all values, in the units of the inputs store; None where there is none.
    mean
        Over a region and a year, if it is known.
    """
    limits = plausible(product, variable)
    if limits is None:
        return None
    near, found = limits.slack, []
    if minimum is not None and minimum < limits.low - near:
        found.append(f"minimum {minimum:.4g} is below {limits.low:g}")
    if maximum is not None and maximum > limits.high + near:
        found.append(f"maximum {maximum:.4g} is above {limits.high:g}")
    if mean is not None and not limits.mean_low * (1 - _ROUNDING) <= mean <= limits.mean_high * (1 + _ROUNDING):
        found.append(f"mean {mean:.4g} is outside {limits.mean_low:g} to {limits.mean_high:g}")
    unit = "" if limits.units == "1" else f" {limits.units}"
    return f"{variable}: {', '.join(found)}{unit} ({limits.source}); likely cause: {limits.cause}" if found else None
