"""Two states of a small cube, one of whose tiles was written again: no network is run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from numpy.typing import NDArray

from pipeline.changes import picture, report
from pipeline.changes.compare import NEW, REMOVED, UNEXPLAINED, Change, Comparison, compare
from pipeline.cube import layout, ledger
from pipeline.grid.coverage import coverage, outlines
from pipeline.job import Job
from pipeline.storage import repository
from pipeline.variables import FLUXES
from regions import zones
from tests.helpers.commits import transaction
from tests.helpers.filled_cube import FIRST, LAST, REGION, fill_cube, write_results


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Three tiles side by side."""
    region = REGION.replace("[-89.52, 39.97, -89.48, 40.03]", "[-89.58, 39.96, -89.35, 39.97]")
    return fill_cube(tmp_path_factory.mktemp("states"), region=region).job


@pytest.fixture(scope="module")
def states(job: Job) -> tuple[str, str]:
    """Before and after: the last tile has other results of the first year, and its first ones of the last year."""
    before, tile = repository.tip(job.open_cube()), job.domain.tiles[-1]
    with transaction(job.open_cube(), "the last tile") as root:
        mask, rng = layout.read_mask(root, tile).mask, np.random.default_rng(12)
        rows = [write_results(root, tile, year, mask=mask, rng=rng) for year in (FIRST, LAST)]
        ledger.record(root, rows, run=0, failures={})
    return before, repository.tip(job.open_cube())


@pytest.fixture(scope="module")
def found(job: Job, states: tuple[str, str]) -> Comparison:
    return compare(job, *states, drawn=("nee",))


def layers(job: Job, states: tuple[str, str], name: str) -> NDArray[np.float64]:
    """An annual layer (state, year, y, x), as the store has it."""
    roots = (repository.read(job.open_cube(), snapshot=state) for state in states)
    return np.stack([np.asarray(root[f"annual/{name}"][...], float) for root in roots])


def test_other_results_of_the_same_fingerprint_are_found(job: Job, states: tuple[str, str], found: Comparison) -> None:
    tile = job.domain.tiles[-1]
    assert [(one.tile, one.year, one.parts) for one in found.found] == [
        (tile, FIRST, UNEXPLAINED),
        (tile, LAST, NEW),
    ]
    assert [one.parts for one in compare(job, *states[::-1]).found] == [UNEXPLAINED, REMOVED]
    assert found.terms["tile_years"].to_dict() == {UNEXPLAINED: 1, NEW: 1}


def test_the_terms_of_each_county_add_up_to_the_difference_of_the_arrays(
    job: Job, states: tuple[str, str], found: Comparison
) -> None:
    shares = coverage(outlines(zones(job.region)), job.grid).toarray()
    area = np.repeat(job.grid.cell_area_m2(), job.grid.cols)
    sums = found.counties.groupby(["year", "fips"])[[f"{flux.name}_gg" for flux in FLUXES]].sum()
    for flux in FLUXES:
        before, after = np.nan_to_num(layers(job, states, flux.name)).reshape(2, 2, -1)
        expected = (after - before) * area @ shares.T / 1e9
        for index, year in enumerate((FIRST, LAST)):
            got = sums[f"{flux.name}_gg"].xs(year).reindex([zone.fips for zone in found.zones], fill_value=0.0)
            np.testing.assert_allclose(got, expected[index], rtol=1e-9, atol=1e-15)


def test_the_map_leaves_out_years_that_one_state_does_not_have(
    job: Job, states: tuple[str, str], found: Comparison
) -> None:
    """The mean of the tile that was written again is the change of the first year, not half of it."""
    before, after = layers(job, states, "nee")
    inside = np.zeros(job.grid.shape, bool)
    inside[job.grid.window(job.domain.tiles[-1])] = True
    np.testing.assert_allclose(found.maps["nee"], np.where(inside, (after - before)[0], np.nan), rtol=1e-6, atol=1e-6)
    assert np.isfinite(found.maps["nee"]).any()


def test_each_tile_of_the_picture_has_the_colour_of_its_parts_in_the_legend(job: Job, found: Comparison) -> None:
    axes = picture.figure(found).axes[0]
    (mesh,) = (each for each in axes.collections if type(each).__name__ == "QuadMesh")
    legend = axes.get_legend()
    assert legend is not None
    colours = {
        text.get_text(): patch.get_facecolor()
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }
    assert set(colours) == {f"{NEW} + {UNEXPLAINED}", "unchanged"}
    drawn = mesh.to_rgba(mesh.get_array()).reshape(job.grid.rows // 48, job.grid.cols // 48, 4)
    for tile in job.domain.tiles:
        row, col = (tile.first_row - job.grid.first_row) // 48, (tile.first_col - job.grid.first_col) // 48
        parts = f"{NEW} + {UNEXPLAINED}" if tile == job.domain.tiles[-1] else "unchanged"
        np.testing.assert_allclose(drawn[row, col], to_rgba(colours[parts]))


def test_sets_of_equally_many_tiles_are_in_the_order_of_their_names(job: Job, found: Comparison) -> None:
    """So that the same comparison has the same colours each time it is drawn: Python's order of a set differs."""
    names = ("crops", "soil", "weights")
    of_tiles = tuple(Change(*each) for each in zip(job.domain.tiles, (FIRST,) * 3, names, strict=True))
    legend = picture.figure(replace(found, found=of_tiles, maps={})).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [*names, "unchanged"]


def test_the_table_names_both_states(states: tuple[str, str], found: Comparison) -> None:
    title = str(report.table(found).title).splitlines()[0]
    first, second = title.split(" to ")
    assert states[0].startswith(first)
    assert states[1].startswith(second)
