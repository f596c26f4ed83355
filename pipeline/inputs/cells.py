"""The cells whose GPP is stored: those with some corn and soybean, which alone a mask can need."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.digests import json_digest
from pipeline.errors import UserError
from pipeline.inputs.layout import group_name, ingested_years, read_record, tile_digests
from pipeline.simulate.crops import modelled
from pipeline.storage.repository import attribute, part, subgroup
from pipeline.years import spans
from regions import Region

LEAST_SHARE = 0.1  # far below the thresholds in use, and leaves out about half of the cells of the corn belt


@dataclass(frozen=True)
class CellRule:
    """GPP is stored where corn and soybean cover `least_share` of the cell, on average over the mask years.

    A region with a lower threshold lowers the share, and more cells are stored when GPP is ingested next.
    """

    mask_years: tuple[int, ...]
    least_share: float

    @classmethod
    def of(cls, region: Region) -> CellRule:
        """Return the rule of a region's inputs store."""
        return cls(region.mask_years, min(LEAST_SHARE, region.crop_threshold))

    def check_crops(self, present: Set[int]) -> None:
        """Raise `UserError` unless the crops of all mask years are present, see `crop_years`."""
        missing = sorted(set(self.mask_years) - present)
        if missing:
            raise UserError(
                f"GPP is stored where corn and soybean cover {self.least_share:.0%} of a cell on average over the mask "
                f"years, and the crops of {spans(missing)} are not ingested on all tiles; run `agcarbon ingest` with "
                f"--product crop --years {spans(missing).replace(' ', '')} first"
            )

    def stored(self, root: zarr.Group, window: tuple[slice, slice]) -> NDArray[np.bool_]:
        """Return the cells of a window whose GPP is stored (rows, cols); the crops of the mask years must be there."""
        fractions_Y2 = [
            [part(root, f"{group_name('crop', year)}/{crop}_fraction", window) for crop in ("corn", "soybean")]
            for year in self.mask_years
        ]
        return modelled(np.asarray(fractions_Y2), self.least_share)

    def record(self, root: zarr.Group) -> dict[str, Any]:
        """Return JSON values of the rule with the digest of the crops that it is applied to."""
        records = [read_record(root, group_name("crop", year)) for year in self.mask_years]
        digests = [record and record.digest for record in records]
        return {"mask_years": list(self.mask_years), "least_share": self.least_share, "crops": json_digest(digests)}


def crop_years(root: zarr.Group, tiles: Set[str]) -> Set[int]:
    """Return the years whose crops are ingested on all these tiles, named."""
    return {
        year for year in ingested_years(root, "crop") if tiles <= tile_digests(root, group_name("crop", year)).keys()
    }


def recorded_rule(root: zarr.Group, group: str) -> dict[str, Any] | None:
    """Return what `CellRule.record` was when a group was ingested, or None if it never was."""
    found: dict[str, Any] | None = attribute(subgroup(root, group), "cells") if group in root else None
    return found
