"""Width and coverage of 90 % intervals of field, county and state, in a simulated world where truth is known.

    python -m benchmarks.intervals ENSEMBLE [--states 8] [--counties 8] [--points 8]

Fields of corn and soybean grow in simulated counties (`model.data.counties`): the fields of a county share its weather,
those of a state nothing but the years. An ensemble (`agcarbon checkpoint ensemble`) computes them from the simulator's
inputs through the road of a run, and the interval of an area is that of `agcarbon aggregate`: mean -+ t x spread, the
spread being that of the members' means over the area. `coverage` is the share of areas and years whose true value the
interval holds; `inflation` is the factor on its width with which it would hold 90 % of them. Fields have equal areas.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.arrays import YearInputs
from model.checkpoint import Checkpoint
from model.data.counties import CountyDraw, simulate_counties
from model.data.records import CountySet, SiteSequences
from model.features import CLIMATE, CROP_TYPE, GPP, SOIL
from model.inference import Predictor
from model.year_step import usable
from pipeline.aggregate.sums import AREA_TYPES, MEMBERS, Sums, cell_sums, interval_factor
from pipeline.cube import members
from pipeline.simulate.tile_year import TileYear, budget, simulate, spin_up
from pipeline.variables import FLUXES

FIRST_YEAR, YEARS = 2003, 8
SEED = 20
COVERAGE = 0.9
SHOWN = ("reco", "nee", "yield", "residue", "dsoc")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Half-widths of intervals and errors of their centres, of areas and years (n,) [g C m-2 yr-1]."""

    half_width: Floats
    error: Floats

    @property
    def coverage(self) -> float:
        """Share of the true values inside the intervals."""
        return float(np.mean(np.abs(self.error) <= self.half_width))

    @property
    def inflation(self) -> float:
        """Factor on the width with which 90 % of the true values would be inside."""
        return float(np.quantile(np.abs(self.error) / self.half_width, COVERAGE, method="inverted_cdf"))


def years_of(points: SiteSequences) -> Iterator[TileYear]:
    """Yield the inputs of each year of some fields."""
    no = np.zeros(len(points), bool)
    for index, year in enumerate(points.years):
        x_NTF = points.x_NYTF[:, index]
        inputs = YearInputs(
            year=int(year),
            climate_7TC=np.ascontiguousarray(x_NTF[..., CLIMATE].transpose(2, 1, 0)),
            climate_of_N=np.arange(len(points)),
            gpp_TN=np.ascontiguousarray(x_NTF[..., GPP].T),
            crop_N=x_NTF[:, 0, CROP_TYPE].astype(np.uint8),
            soil_9N=np.ascontiguousarray(x_NTF[:, 0, SOIL].T),
        )
        ones = np.ones(len(points), np.float32)
        yield TileYear(inputs, ~no, no, no, ones, ones)


def truth_of(points: SiteSequences, index: int) -> dict[str, Floats]:
    """Return the true annual fluxes of a year by name (N,), in reporting signs."""
    ra, rh, nee = np.moveaxis(points.fluxes_NYT3[:, index].sum(axis=1, dtype=np.float64), -1, 0)
    gpp = points.x_NYTF[:, index, :, GPP].sum(axis=1, dtype=np.float64)
    return budget(gpp, np.stack([-ra, -rh, nee, points.yield_NY[:, index].astype(np.float64)]))


def sums_of(predictor: Predictor, points: SiteSequences) -> Iterator[tuple[Sums, Sums]]:
    """Yield the predicted and the true sums over each field of a year, one year after the other."""
    years = list(years_of(points))
    state, area_m2 = spin_up(predictor, (years[0], years[1])), np.ones(len(points))
    for index, year in enumerate(years):
        result = simulate(predictor, year, state)
        state = result.state
        assert result.members
        own = members.fluxes(result.members.annual_MVN, result.annual["gpp"].astype(np.float64))
        place = f"{year.inputs.year}"
        true = cell_sums(result.annual | truth_of(points, index), area_m2, place=place)
        yield cell_sums(result.annual | {MEMBERS: own}, area_m2, place=place), true


def intervals(pairs: list[tuple[Sums, Sums]], shares: csr_array) -> dict[str, Interval]:
    """Return the intervals of areas with these shares of the fields (areas, fields), by the name of the flux."""
    cells = AREA_TYPES.index("cells")
    found = {flux.name: (list[Floats](), list[Floats]()) for flux in FLUXES}
    for predicted, true in ((one.onto(shares), other.onto(shares)) for one, other in pairs):
        half_widths = interval_factor(predicted.members) * predicted.spreads()[cells]
        errors = (predicted.means() - true.means())[cells]
        for index, flux in enumerate(FLUXES):
            found[flux.name][0].append(half_widths[index])
            found[flux.name][1].append(errors[index])
    return {name: Interval(np.concatenate(widths), np.concatenate(errors)) for name, (widths, errors) in found.items()}


def print_table(by_area: dict[str, dict[str, Interval]]) -> None:
    """Print a row for each kind of area and flux."""
    print(f"{'area':8} {'flux':8} {'n':>6} {'mean width':>11} {'rms error':>10} {'coverage':>9} {'inflation':>10}")
    for area, of_area in by_area.items():
        for name in SHOWN:
            each = of_area[name]
            rms, width = np.sqrt(np.mean(each.error**2)), 2 * each.half_width.mean()
            print(
                f"{area:8} {name:8} {each.error.size:6} {width:11.1f} {rms:10.1f} {each.coverage:8.1%} "
                f"{each.inflation:10.2f}"
            )


def shares_of(world: CountySet, *, counties: int) -> dict[str, csr_array]:
    """Return 1 where a field is a field, belongs to a county, and to a state of so many counties (areas, fields)."""
    fields = np.arange(len(world.points))
    groups = {"field": fields, "county": world.county_P, "state": world.county_P // counties}
    return {area: csr_array((np.ones(fields.size), (group, fields))) for area, group in groups.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ensemble", help="checkpoint of two or more members")
    for name in ("states", "counties", "points"):
        parser.add_argument(f"--{name}", type=int, default=8)
    given = parser.parse_args()
    ensemble = Checkpoint.load(given.ensemble)
    if len(ensemble) < 2:
        parser.error(f"{given.ensemble}: a single network has no spread; join some with `agcarbon checkpoint ensemble`")
    draw = CountyDraw(given.states * given.counties, given.points, np.arange(FIRST_YEAR, FIRST_YEAR + YEARS))
    world = simulate_counties(SEED, draw=draw)
    predictor = usable.predictor(ensemble, year_step=usable.NUMBA, device="cpu", batch_cells=0)
    pairs = list(sums_of(predictor, world.points))
    print(
        f"{len(ensemble)} members; simulated: {given.states} states x {given.counties} counties x {given.points} "
        f"fields, {FIRST_YEAR}-{FIRST_YEAR + YEARS - 1}; 90 % intervals [g C m-2 yr-1]"
    )
    of_areas = shares_of(world, counties=given.counties)
    print_table({area: intervals(pairs, shares) for area, shares in of_areas.items()})


if __name__ == "__main__":
    main()
