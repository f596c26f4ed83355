"""Measured changes of soil carbon beside the cube: z-scores at the places of site-years in a CSV file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.analysis import figures, paper
from pipeline.analysis.beside.pixels import Pixel
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number
from pipeline.analysis.subject import Subject
from pipeline.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Soil carbon change beside measurements"
PATTERN = "soc/*.csv"
RELATIVE_ERRORS = (0.12, 0.45, 0.50)
COLUMNS = ("site", "latitude", "longitude", "first_year", "last_year", "depth_cm", "change_g_m2_yr", "sd_g_m2_yr",
           "practice")  # fmt: skip
_MAY_BE_EMPTY = ("depth_cm", "sd_g_m2_yr", "practice")
_MOST_CM = 100.0
_TWO = 2.0

COMPUTED = (
    "Mean dSOC of the cell at each site over the years of the measurement, beside the measured change. A change that "
    "was measured to a depth of Z cm is divided by F(Z) = (-0.011 Z^2 + 2.029 Z) %, the paper's share of soil carbon "
    "in the top Z cm of 0-100 cm; one without depth, such as the budget of a tower, is taken as it is. z = (cube - "
    "measured) / standard deviation: that of the file, and those of relative errors of 12, 45 and 50 %."
)
LIMITS = (
    "The cube's soil carbon change holds residue as well as humus; samples hold mostly humus, and the budget of a "
    "tower (-NEE - harvested grain) holds residue too, and is no measurement of soil. The depth function is that of "
    "stocks, applied to changes. A cell of 250 m is not the sampled field, and its management is not known. Relative "
    "errors are of the measured change, so that small changes have large z. R2 is not given: sites are few and no "
    "random sample."
)


def share_above(depth_cm: float) -> float:
    """Return the share of the soil carbon of 0-100 cm in the top `depth_cm`, the paper's depth function.

    Examples
    --------
    >>> round(share_above(30), 4)
    0.5097
    """
    return (-0.011 * depth_cm**2 + 2.029 * depth_cm) / 100


def read_measurements(paths: list[Path]) -> pd.DataFrame:
    """Return the site-years of CSV files in `COLUMNS`; lines that begin with # are comments.

    Raises
    ------
    UserError
        If a column is missing, a value is empty or no number, a depth is not in (0, 100] cm, or years are reversed.
    """
    tables = []
    for path in paths:
        table = pd.read_csv(path, comment="#")
        if absent := [name for name in COLUMNS if name not in table.columns]:
            raise UserError(f"{path}: column {', '.join(absent)} is missing; columns are {','.join(COLUMNS)}")
        numeric = [name for name in COLUMNS if name not in ("site", "practice")]
        table[numeric] = table[numeric].apply(pd.to_numeric, errors="coerce")
        empty = table[[name for name in COLUMNS if name not in _MAY_BE_EMPTY]].isna().any(axis=1)
        depth = table["depth_cm"]
        wrong = empty | (depth <= 0) | (depth > _MOST_CM) | (table["first_year"] > table["last_year"])
        if (wrong | (table["sd_g_m2_yr"] <= 0)).any():
            line = int(np.flatnonzero(wrong | (table["sd_g_m2_yr"] <= 0))[0]) + 1
            raise UserError(
                f"{path}: row {line} ({table['site'].iloc[line - 1]}) has an empty or unusable value; depth lies in "
                f"(0, 100] cm or is empty, the standard deviation is above 0 or empty, the first year is not the later"
            )
        tables.append(table[list(COLUMNS)])
    return pd.concat(tables, ignore_index=True)


def compared(subject: Subject, measured: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Return the rows that the cube has, with its dSOC and z-scores; sentences on the others are added to `notes`."""
    rows = []
    for record in measured.to_dict("records"):
        row: dict[str, Any] = {str(name): value for name, value in record.items()}
        years = range(int(row["first_year"]), int(row["last_year"]) + 1)
        try:
            annual = Pixel.at(subject, row["latitude"], row["longitude"]).annual("dsoc")
        except UserError as error:
            notes.append(f"{row['site']} is left out: {error}")
            continue
        values = [annual.get(year, np.nan) for year in years]
        if not np.isfinite(values).all():
            notes.append(f"{row['site']} is left out: not all of {years[0]} to {years[-1]} have a result there")
            continue
        rows.append({**row, **_scores(row, float(np.mean(values)))})
    return pd.DataFrame(rows)


def _scores(row: dict[str, Any], cube: float) -> dict[str, float]:
    share = 1.0 if np.isnan(row["depth_cm"]) else share_above(row["depth_cm"])
    measured = row["change_g_m2_yr"] / share
    errors = {f"z_{round(100 * error)}_percent": abs(measured) * error or np.nan for error in RELATIVE_ERRORS}
    return {
        "cube_g_m2_yr": cube,
        "measured_profile_g_m2_yr": measured,
        "z": (cube - measured) / (row["sd_g_m2_yr"] / share),
        **{name: (cube - measured) / sd for name, sd in errors.items()},
    }


def analyse(subject: Subject) -> Findings:
    """Return the findings beside the measurements in the folder of observations."""
    notes: list[str] = [f"{path.name}: {line}" for path in _files(subject) for line in _comments(path)]
    measured = read_measurements(_files(subject))
    table = compared(subject, measured, notes)
    if table.empty:
        raise UserError("no site of the measurements has results in the cube: " + " | ".join(notes))
    names = ["z", *(f"z_{round(100 * error)}_percent" for error in RELATIVE_ERRORS)]
    numbers = [
        Number("sites compared", float(table["site"].nunique()), "1", paper.SOC_SITES),
        Number("measurements compared", float(len(table)), "1"),
    ]
    for name in names:
        values = table[name].dropna()
        if len(values):
            label = "the file's error" if name == "z" else f"an error of {name.split('_')[1]} %"
            numbers.append(
                Number(f"within two standard deviations, with {label}", 100 * float((values.abs() <= _TWO).mean()), "%")
            )
    return Findings(COMPUTED, LIMITS, tuple(numbers), {MAIN: table}, _figure(subject, table), tuple(notes))


def _figure(subject: Subject, table: pd.DataFrame) -> Figure:
    drawing, panels = figures.sheet([["sites"]], (8.5, 1.9 + 0.3 * len(table)))
    axes, place = panels["sites"], np.arange(len(table))[::-1]
    measured = table["measured_profile_g_m2_yr"]
    given = table["sd_g_m2_yr"] * measured / table["change_g_m2_yr"]
    error = given.abs().fillna(measured.abs() * RELATIVE_ERRORS[-1])
    axes.errorbar(measured, place, xerr=error, fmt="s", color=figures.PAPER, capsize=3, label="measured ± 1 sd")
    axes.plot(table["cube_g_m2_yr"], place, "o", color=figures.OURS, label="this cube")
    axes.axvline(0, color="0.7", linewidth=0.8)
    years = zip(table["site"], table["first_year"], table["last_year"], strict=True)
    axes.set_yticks(place, [f"{site}, {first:.0f}-{last:.0f}" for site, first, last in years])
    axes.margins(y=0.2)
    axes.legend(frameon=False, fontsize=8)
    figures.finish(axes, "positive: soil gains", xlabel=figures.UNIT_YEAR)
    figures.caption(drawing, TITLE, subject.caption)
    return drawing


def _comments(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            yield line.lstrip("# ").rstrip(".")


def _files(subject: Subject) -> list[Path]:
    return sorted(subject.options.data.glob(PATTERN)) if subject.options.data else []


def _obstacle(subject: Subject) -> str | None:
    return None if _files(subject) else f"needs measured changes: {PATTERN} in the folder of --data"


ANALYSIS = Analysis("soc", TITLE, "z-scores of dSOC beside measured changes at sites, with depth and error",
                    _obstacle, analyse)  # fmt: skip
