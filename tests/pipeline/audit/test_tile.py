from __future__ import annotations

import numpy as np

from pipeline.audit.tile import StockShare, stock_share


def test_the_share_of_the_stock_counts_cell_years_and_means_of_cells() -> None:
    stock = np.array([10_000.0, 10_000.0, np.nan])
    dsoc = np.array([[60.0, 49.0, 0.0], [-60.0, np.nan, 0.0]])
    share = stock_share(dsoc, stock)
    assert (share.cell_years, share.cell_years_within, share.cells, share.cells_within) == (3, 1, 2, 2)


def test_shares_of_tiles_add_up() -> None:
    assert StockShare(3, 1, 2, 2) + StockShare(1, 1, 1, 0) == StockShare(4, 2, 3, 2)
