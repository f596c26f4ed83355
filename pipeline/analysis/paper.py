"""What the paper states of its region, beside which our figures stand; other weights and another region.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5.
"""

from __future__ import annotations

from pipeline.analysis.findings import Published

_PAPER = "Liu et al. 2024, US Midwest, 2000-2020"

WITHIN_HALF_PERCENT = Published(86, f"{_PAPER}: cells within 0.5 % of the stock per year")
SOIL_EXPLAINS = Published(43, f"{_PAPER}: variance of dSOC explained by soil")
CLIMATE_EXPLAINS = Published(11, f"{_PAPER}: variance of dSOC explained by climate")
COARSE_NRMSE = Published(86, f"{_PAPER}: NRMSE of dSOC of the run on 0.5 degree")
COARSE_LOW = Published(-0.1, f"{_PAPER}: 10 % quantile of coarse - fine")
COARSE_HIGH = Published(0.9, f"{_PAPER}: 90 % quantile of coarse - fine")
CORN_YIELD_R2 = Published(0.91, "Liu et al. 2024: R2 of corn yield, 210 test counties")
SOYBEAN_YIELD_R2 = Published(0.88, "Liu et al. 2024: R2 of soybean yield, 210 test counties")
_TRENDY = "Liu et al. 2024, US Midwest, 2000-2019: the TRENDY-v9 ensemble overestimates it"
TRENDY_ABOVE = {flux: Published("above 0", _TRENDY) for flux in ("reco", "nee")}
_TOWERS = "Liu et al. 2024: the network at 11 towers, two held-out years of each, on the towers' own inputs"
TOWER_R2 = {"reco": Published(0.94, _TOWERS), "nee": Published(0.96, _TOWERS)}
SOC_SITES = Published(18, "Liu et al. 2024: sites of the literature")
