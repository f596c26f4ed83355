"""All analyses by name."""

from __future__ import annotations

from pipeline.analysis import attribution, dsoc, extremes, rotation, speed, yields
from pipeline.analysis.beside import soc, towers, trendy
from pipeline.analysis.coarse import comparison
from pipeline.analysis.findings import Analysis
from pipeline.errors import UserError
from regions import did_you_mean

ANALYSES: tuple[Analysis, ...] = (
    dsoc.ANALYSIS,
    rotation.ANALYSIS,
    comparison.ANALYSIS,
    attribution.ANALYSIS,
    extremes.ANALYSIS,
    yields.ANALYSIS,
    trendy.ANALYSIS,
    towers.ANALYSIS,
    soc.ANALYSIS,
    speed.ANALYSIS,
)
ALL = "all"


def named(name: str) -> Analysis:
    """Return the analysis of a name; raises `UserError` for an unknown one."""
    for analysis in ANALYSES:
        if analysis.name == name:
            return analysis
    known = [analysis.name for analysis in ANALYSES]
    near = did_you_mean(name, known)
    raise UserError(
        f"no analysis {name!r}; choose among {', '.join(known)}, or {ALL} for those that the cube allows{near}"
    )
