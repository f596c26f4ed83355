"""What the paper states of its region, beside which our figures stand; other weights and another region.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5.
"""

from __future__ import annotations

from pipeline.analysis.findings import Published

_PAPER = "Liu et al. 2024, US Midwest, 2000-2020"

WITHIN_HALF_PERCENT = Published(86, f"{_PAPER}: cells within 0.5 % of the stock per year")
