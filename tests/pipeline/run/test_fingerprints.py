"""Fingerprints change with everything that decides a tile-year, and with nothing else."""

from __future__ import annotations

import pytest

from pipeline.cube.entry import COMPONENTS, Fingerprint
from pipeline.cube.layout import PlannedTile
from pipeline.inputs.view import TileDigests
from pipeline.run.fingerprints import Science, fingerprints
from tests.helpers.prints import FIRST, SCIENCE, TILE, prints_of


@pytest.mark.parametrize("changed", [2000, 2001, 2004, 2010])
def test_a_changed_input_changes_that_and_later_years_or_all_for_a_spin_up_year(changed: int) -> None:
    years = range(FIRST, 2013)
    one, other = prints_of(years), prints_of(years, changed=changed)
    different = [year for year in years if one[year] != other[year]]
    assert different == list(years if changed < FIRST + 2 else range(changed, 2013))
    assert all(one[year].differs_in(other[year]) == ("gpp",) for year in different)


def test_a_fingerprint_does_not_depend_on_the_last_year_wanted() -> None:
    assert prints_of(range(FIRST, 2013))[2005] == prints_of(range(FIRST, 2006))[2005]


def test_each_changed_component_is_reported_by_its_name() -> None:
    def prints(science: Science, mask: str = "mask") -> Fingerprint:
        planned = PlannedTile(TILE.tile, TILE.cells, mask)
        digests = TileDigests("a", "b", "c", "d")
        years = range(FIRST, FIRST + 2)
        return fingerprints(planned, years, science=science, digests=lambda *_: digests, spin_up=(FIRST, FIRST + 1))[
            FIRST
        ]

    base = prints(SCIENCE)
    assert len(base.parts) == len(COMPONENTS)
    assert base.differs_in(prints(Science("other", "weights", "fp32"))) == ("region",)
    assert base.differs_in(prints(Science("region", "other", "fp32"))) == ("checkpoint",)
    assert base.differs_in(prints(Science("region", "weights", "tf32"))) == ("science",)
    assert base.differs_in(prints(SCIENCE, mask="other")) == ("mask",)
