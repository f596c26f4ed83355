"""Fingerprints of tile-years: digests of everything that decides their numbers.

The results of a tile-year are up to date if the ledger records the fingerprint that inputs, weights and code give now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.cube.entry import SCIENCE_VERSION, Fingerprint
from pipeline.cube.layout import PlannedTile
from pipeline.digests import json_digest
from pipeline.inputs.view import TileDigests


@dataclass(frozen=True)
class Science:
    """The part of a fingerprint that is the same for all tile-years of a run file.

    Attributes
    ----------
    region
        Digest of boundary, grid, crop threshold and mask years, and of the settings of draws of GPP.
    checkpoint
        Digest of weights, scalers and training ranges.
    precision
        Floating-point precision of the network.
    draws
        Whether members are drawn from the uncertainty of GPP, which is then an input.
    """

    region: str
    checkpoint: str
    precision: str
    draws: bool = False


def fingerprints(
    planned: PlannedTile,
    years: Sequence[int],
    *,
    science: Science,
    digests: Callable[..., TileDigests],
    spin_up: tuple[int, int],
) -> dict[int, Fingerprint]:
    """Return the fingerprint of every year of a tile.

    The fingerprint of a year covers the inputs of the spin-up years and of all years up to it, since the state carries
    their effect: a changed year makes itself and all later years stale, a changed spin-up year makes all years stale.

    Parameters
    ----------
    planned
        The tile and its mask.
    years
        All years from the region's first to the last to run, all ingested.
    science
        Region, weights and precision.
    digests
        Content digests of the inputs by tile and year; given `uncertainty=True` for draws.
    spin_up
        The region's two spin-up years.
    """
    also = {"uncertainty": True} if science.draws else {}
    inputs = {year: digests(planned.tile, year, **also) for year in {*years, *spin_up}}

    def chained(product: str) -> Iterator[str]:
        """Yield a digest for each year that depends on the product in the spin-up years and up to that year."""
        # As the state does, the digest of a year takes in that of the year before, and the first one the spin-up.
        chain = json_digest([[getattr(inputs[year], product) for year in spin_up]])
        for year in years:
            chain = json_digest([chain, getattr(inputs[year], product)])
            yield chain

    # The science version is raised by hand when the code gives other numbers; a golden test checks it.
    code = json_digest([SCIENCE_VERSION, science.precision])
    soil = json_digest([inputs[years[0]].soil])  # the same in all years
    found = {}
    for year, climate, gpp, crop in zip(years, chained("climate"), chained("gpp"), chained("crop"), strict=True):
        # In the order of `COMPONENTS`. Each part is digested once more, so that all have the ledger's length.
        parts = (science.region, planned.mask, code, science.checkpoint, climate, gpp, soil, crop)
        found[year] = Fingerprint(tuple(json_digest([part]) for part in parts))
    return found
