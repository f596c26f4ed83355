"""Annual fluxes of flux towers, from the files in the folder of observations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.sources.towers.read import Tower, read_tower, tower_name

PATTERNS = ("towers/FLX_*", "towers/AMF_*")
_MONTHLY = "_MM_"
COLUMNS = ["site", "year", "gpp", "reco", "nee"]


def tower_files(data: Path | None) -> dict[str, tuple[Path, ...]]:
    """Return the files of daily or finer fluxes by tower; files of monthly fluxes are left out."""
    found: dict[str, tuple[Path, ...]] = {}
    paths = [path for pattern in PATTERNS for path in data.glob(pattern)] if data else []
    for path in sorted(path for path in paths if _MONTHLY not in path.name):
        site = tower_name(path)
        found[site] = (*found.get(site, ()), path)
    return found


def read_towers(data: Path | None) -> tuple[Tower, ...]:
    """Return the towers of a folder of observations; raises `UserError` for a file that is refused."""
    return tuple(read_tower(*paths) for paths in tower_files(data).values())


def annual_fluxes(tower: Tower) -> pd.DataFrame:
    """Return GPP = Reco - NEE, Reco and NEE [g C m-2 yr-1] of the years of which every day has both, in `COLUMNS`."""
    rows = []
    for year in tower.complete_years:
        days = tower.days[pd.DatetimeIndex(tower.days.index).year == year]
        reco, nee = (days[name].to_numpy(np.float64) for name in ("reco", "nee"))
        if np.isfinite(reco).all() and np.isfinite(nee).all():
            rows.append([tower.site, year, float((reco - nee).sum()), float(reco.sum()), float(nee.sum())])
    return pd.DataFrame(rows, columns=COLUMNS)
