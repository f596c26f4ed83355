"""The equations: sums by hand, more workers, faster machines, pieces that one worker does alone."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from pipeline.cost.model import Machine, Model, Size
from pipeline.cost.rates import Bytes, Rates, Seconds, measured_rates
from pipeline.cost.work import Cells, IngestWork, RegionWork, RunWork, Wave

YEARS = (2011, 2012)
DAYS = 365 + 366
TOTAL, MODELLED, GPP = 4 * 100, 90, 210
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79)
PER_SECOND = Seconds(**{field.name: 1e-3 * prime for field, prime in zip(fields(Seconds), PRIMES, strict=True)})
PER_BYTE = Bytes(**{field.name: prime for field, prime in zip(fields(Bytes), PRIMES, strict=False)})
RATES = Rates({"numba": 50.0}, PER_SECOND, PER_BYTE, "a machine", "2026-01-01")
SIZE = Size(
    nldas_cells=6, grid_cells=600, tile_cells=100, strips=2, band_tiles=2, members=2, spread_members=0, export_layers=9
)
INGEST = IngestWork(
    {"climate": YEARS, "gpp": YEARS, "crop": (2012,)}, True, frozenset({("climate", 2012), ("gpp", 2012)}), 5000
)
RUN = RunWork((Wave(360, 80), Wave(180, 100)), 16, 180, frozenset(YEARS))
WORK = RegionWork(
    YEARS, YEARS, YEARS, Cells(4, TOTAL, MODELLED, "masks", GPP), 40, INGEST, RUN, frozenset(YEARS), (2012,), None
)
MACHINE = Machine(workers=1, started=0, speed=1.0, run_cell_years=None, network_cell_years=100.0)


def model(**changes: object) -> Model:
    return Model(WORK, SIZE, RATES, replace(MACHINE, **changes))  # type: ignore[arg-type]


def seconds(found: Model) -> dict[str, tuple[float, float]]:
    return {step.name: (step.cpu_seconds, step.wall_seconds) for step in found.steps()}


def test_processor_times_are_the_sums_of_work_times_rates() -> None:
    start = 0.002
    expected = {
        "ingest": 24 * DAYS * 0.003 + (5000 + 24 * 366 * 1_882_317) * 0.005 + DAYS * TOTAL * 0.007 + TOTAL * 0.011
        + TOTAL * 0.013 + 2 * (DAYS * 0.017 + 0.019 + 0.023),
        "run": 540 / 100 + 180 * 0.029 + 16 * (100 * 0.031 + 0.037),
        "aggregate": 2 * (MODELLED * 0.041 + TOTAL * 0.043 + 4 * 0.047),
        "audit": 2 * (MODELLED * 0.053 + TOTAL * 0.059 + 4 * 0.061),
        "export": 2 * 9 * 600 * 0.067,
    }  # fmt: skip
    found = seconds(model())
    assert {name: cpu for name, (cpu, _) in found.items()} == pytest.approx(
        {name: start + work for name, work in expected.items()}
    )
    # One process: the clock shows what the processor does.
    assert all(wall == pytest.approx(cpu) for name, (cpu, wall) in found.items() if name != "run")


def test_products_take_the_bytes_of_their_units() -> None:
    found = {(product.store, product.name): product.size_bytes for product in model().products()}
    assert found == {
        ("inputs", "climate"): 6 * DAYS * 2,
        ("inputs", "gpp"): GPP * DAYS * 3,
        ("inputs", "crop"): TOTAL * 2 * 5,
        ("inputs", "soil"): TOTAL * 7,
        ("cube", "daily"): MODELLED * DAYS * 11,
        ("cube", "annual"): MODELLED * 2 * 13,
        ("cube", "restart"): MODELLED * 1 * 2 * 17,
        ("cube", "aggregates"): MODELLED * 2 * 19,
        ("cube", "records"): TOTAL * 23 + 4 * 2 * 29,
        ("exports", "annual"): MODELLED * 2 * 9 * 31,
    }


def test_an_ensemble_takes_more_for_each_member() -> None:
    single, three = model(), replace(model(), size=replace(SIZE, spread_members=3))
    found, alone = ({name: cpu for name, (cpu, _) in seconds(of).items()} for of in (three, single))
    more = {"run": 180 * 3 * 0.071, "aggregate": 2 * MODELLED * 3 * 0.073, "audit": 2 * MODELLED * 3 * 0.079}
    assert {name: found[name] - alone[name] for name in more} == pytest.approx(more)
    sizes, without = ({product.name: product.size_bytes for product in of.products()} for of in (three, single))
    assert sizes == without | {"members": MODELLED * 2 * (3 * 37 + 41)}


def test_workers_share_the_work_but_not_its_largest_piece() -> None:
    one, three, many = (seconds(model(workers=count)) for count in (1, 3, 10**6))
    for name in ("ingest", "run", "aggregate", "audit"):
        assert one[name][0] == three[name][0] == many[name][0]
        assert one[name][1] > three[name][1] > many[name][1] > 0
    assert one["export"][1] - 0.002 == pytest.approx(18 * (many["export"][1] - 0.002))  # a map of a year each
    # Waves wait for their largest block: 80 and 100 of 540 cell-years.
    assert many["run"][1] - 0.002 == pytest.approx((one["run"][0] - 0.002) * 180 / 540)
    assert three["run"][1] - 0.002 == pytest.approx((one["run"][0] - 0.002) * (120 + 100) / 540)


def test_each_process_that_a_command_starts_takes_its_start() -> None:
    alone, cluster = seconds(model(workers=3)), seconds(model(workers=3, started=3))
    for name in ("ingest", "run", "aggregate", "audit"):
        assert cluster[name][0] - alone[name][0] == pytest.approx(3 * 0.002)
        assert cluster[name][1] - alone[name][1] == pytest.approx(0.002)


def test_a_core_of_twice_the_speed_takes_half_the_time() -> None:
    one, two = seconds(model()), seconds(model(speed=2.0, network_cell_years=200.0))
    for name, (cpu, wall) in one.items():
        assert two[name] == (pytest.approx(cpu / 2), pytest.approx(wall / 2))


def test_the_ledger_of_the_cube_is_believed_before_the_rates() -> None:
    found = seconds(model(run_cell_years=10.0))
    assert found["run"][0] == pytest.approx(0.002 + 54)
    assert found["audit"] == seconds(model())["audit"]


def test_where_nothing_is_left_no_step_is_named_but_those_that_begin_anew() -> None:
    nothing = IngestWork({"climate": (), "gpp": (), "crop": ()}, False, frozenset(), 0)
    done = replace(WORK, ingest=nothing, run=RunWork(), aggregate_years=frozenset())
    assert [step.name for step in Model(done, SIZE, RATES, MACHINE).steps()] == ["audit", "export"]


def test_the_rates_of_the_package_are_positive_and_name_machine_and_date() -> None:
    rates = measured_rates()
    assert rates.machine
    assert rates.date
    assert all(rate > 0 for rate in rates.network.values())
    for group in (rates.seconds, rates.bytes):
        assert all(getattr(group, field.name) >= 0 for field in fields(group))
    assert min(rates.seconds.start, rates.seconds.gpp_cell_day, rates.bytes.daily_cell_day) > 0
