"""All analyses by name."""

from __future__ import annotations

from pipeline.analysis import attribution, coarse, dsoc, extremes, rotation, speed, yields
from pipeline.analysis.beside import soc, towers, trendy
from pipeline.analysis.findings import Analysis
from pipeline.errors import UserError

ANALYSES: tuple[Analysis, ...] = (
    dsoc.ANALYSIS,
    rotation.ANALYSIS,
    coarse.ANALYSIS,
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
    known = ", ".join(analysis.name for analysis in ANALYSES)
    raise UserError(f"no analysis {name!r}; choose among {known}, or {ALL} for those that the cube allows")
