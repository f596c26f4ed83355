"""Planning against a brute-force reading of the rules."""

from __future__ import annotations

from heapq import heapreplace
from types import SimpleNamespace

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config import RestartSettings
from pipeline.cube.entry import Fingerprint, Status, TileYearState
from pipeline.run.plan import Block, Choice, Plan, Request, blocked_years, kept_restarts, make_plan
from tests.helpers.prints import FIRST, TILE, prints_of


def fake_ledger(
    done: dict[int, Fingerprint], restarts: set[int], failed: frozenset[int] = frozenset()
) -> SimpleNamespace:
    """Return the part of a ledger that `make_plan` reads."""

    def state(_tile: str, year: int, current: Fingerprint) -> TileYearState:
        if year in failed:
            return TileYearState(Status.FAILED, "broken")
        if year not in done:
            return TileYearState(Status.MISSING)
        return TileYearState(Status.DONE if done[year] == current else Status.STALE)

    return SimpleNamespace(
        state=state,
        recorded=lambda _tile, year: done.get(year),
        has_restart=lambda _tile, year: year in restarts,
        years=sorted(done),
    )


def plan_of(years: range, *, done: range = range(0), restarts: set[int] | None = None, **settings: int) -> Plan:
    request = Request(
        tuple(years), FIRST, settings.get("block", 5), RestartSettings(last=2, every=settings.get("every", 5))
    )
    prints = prints_of(range(FIRST, years[-1] + 1))
    ledger = fake_ledger({year: prints[year] for year in done}, restarts or set())
    return make_plan([TILE], request=request, prints={TILE.tile.name: prints}, ledger=ledger, blocked={})  # type: ignore[arg-type]


def blocks(plan: Plan) -> tuple[Block, ...]:
    return plan.chains[0] if plan.chains else ()


@given(
    st.integers(2, 25),
    st.integers(0, 25),
    st.integers(1, 8),
    st.integers(1, 7),
    st.sets(st.integers(FIRST, FIRST + 25)),
)
def test_blocks_store_each_open_year_once_and_begin_where_a_state_is_stored(
    count: int, done: int, block: int, every: int, restarts: set[int]
) -> None:
    done = min(done, count)
    held = {year for year in restarts if year < FIRST + done}
    plan = plan_of(
        range(FIRST, FIRST + count), done=range(FIRST, FIRST + done), restarts=held, block=block, every=every
    )
    stored = [year for each in blocks(plan) for year in each.years]
    assert stored == list(range(FIRST + done, FIRST + count))
    for each in blocks(plan):
        assert len(each.years) <= block
        assert each.first <= each.years[0]
        assert each.spin_up == (each.first == FIRST)
        assert each.spin_up or each.first - 1 in held
        assert each.years[-1] in each.restarts
        held |= set(each.restarts)
    kept = kept_restarts(RestartSettings(last=2, every=every), stored, latest=FIRST + count - 1)
    assert kept <= held


def test_a_plan_starts_at_the_newest_state_that_is_up_to_date() -> None:
    plan = plan_of(range(FIRST, 2013), done=range(FIRST, 2012), restarts={2000, 2005, 2010, 2011})
    (block,) = blocks(plan)
    assert (block.first, block.years, block.spin_up) == (2012, (2012,), False)
    without = plan_of(range(FIRST, 2013), done=range(FIRST, 2012), restarts={2000, 2005})
    (block,) = blocks(without)
    assert (block.first, block.years) == (2006, (2012,))
    assert list(block.computed) == list(range(2006, 2013))


def test_a_state_of_other_inputs_is_not_built_on() -> None:
    years = range(FIRST, 2013)
    today, before = prints_of(years), prints_of(years, changed=2007)
    ledger = fake_ledger(before, restarts={2005, 2010, 2012})
    request = Request(tuple(years), FIRST, 20, RestartSettings())
    plan = make_plan([TILE], request=request, prints={TILE.tile.name: today}, ledger=ledger, blocked={})  # type: ignore[arg-type]
    assert blocks(plan)[0].first == 2006
    assert [year for each in blocks(plan) for year in each.years] == list(range(2007, 2013))


def test_a_product_blocks_a_year_if_it_or_an_earlier_one_is_not_ingested() -> None:
    full = frozenset(range(2000, 2021))
    ingested = {"climate": full, "gpp": full - {2020}, "crop": full - {2019}}
    assert blocked_years([2018, 2019, 2020], ingested, first=2000) == {2019: ("crop",), 2020: ("crop", "gpp")}


def test_waves_hold_each_chain_once_and_in_order() -> None:
    plan = plan_of(range(FIRST, 2021))
    waves = list(plan.waves())
    assert [wave[0].years for wave in waves] == [block.years for block in blocks(plan)]
    assert all(len(wave) == 1 for wave in waves)
    assert plan.cell_years == 100 * (21 + 2)
    assert np.diff([wave[0].first for wave in waves]).min() > 0


def block_of(cells: int, *, years: range = range(FIRST, FIRST + 5), spin_up: bool = False) -> Block:
    return Block(TILE.tile, cells, years[0], tuple(years), (), years[-1:], spin_up)


def waves_of(*chains: tuple[Block, ...]) -> list[list[Block]]:
    return list(Plan((), (), {}, chains, {}).waves())


def test_a_wave_begins_with_the_blocks_that_take_longest() -> None:
    small, large = block_of(100), block_of(900)
    long, spun_up = block_of(100, years=range(FIRST, FIRST + 20)), block_of(200, spin_up=True)
    assert waves_of((small,), (long, small), (large,), (spun_up, large)) == [
        [large, long, spun_up, small],
        [large, small],
    ]


def test_workers_are_busy_to_the_end_of_a_wave() -> None:
    """Simulated: each worker takes the next block when it is free; nothing ends before the largest block does."""
    share = np.random.default_rng(0).beta(1.0, 3.44, 771)  # as many tiles, and modelled cells, as the Midwest has
    blocks = [block_of(int(cells)) for cells in share * 240**2]
    (wave,) = waves_of(*((block,) for block in blocks))
    total, largest = sum(block.cells for block in blocks), max(block.cells for block in blocks)
    for workers in (16, 64, 256):
        bound = min(1.0, total / workers / largest)
        assert _efficiency(wave, workers) > 0.99 * bound > _efficiency(blocks, workers)


def _efficiency(blocks: list[Block], workers: int) -> float:
    """Share of the workers' time until the last block ends in which they compute."""
    ends = [0] * workers
    for block in blocks:
        heapreplace(ends, ends[0] + block.cells)
    return sum(block.cells for block in blocks) / workers / max(ends)


@example(statuses=["stale", "missing"], keep_stale=True, redo=False, restarts={FIRST})
@given(
    st.lists(st.sampled_from(["done", "stale", "failed", "missing"]), min_size=1, max_size=8),
    st.booleans(),
    st.booleans(),
    st.sets(st.integers(FIRST, FIRST + 7)),
)
def test_chosen_tile_years_are_computed_and_only_from_states_that_are_up_to_date(
    statuses: list[str], keep_stale: bool, redo: bool, restarts: set[int]
) -> None:
    years = range(FIRST, FIRST + len(statuses))
    today, before = prints_of(years), prints_of(years, changed=FIRST)  # of other spin-up years: all differ
    of_year = dict(zip(years, statuses, strict=True))
    recorded = {y: today[y] if of_year[y] == "done" else before[y] for y in years if of_year[y] in ("done", "stale")}
    failed = frozenset(year for year in years if of_year[year] == "failed")
    choice = Choice(frozenset({TILE.tile.name}) if redo else frozenset(), keep_stale)
    plan = make_plan(
        [TILE],
        request=Request(tuple(years), FIRST, 3, RestartSettings(), choice),
        prints={TILE.tile.name: today},
        ledger=fake_ledger(recorded, restarts, failed),  # type: ignore[arg-type]
        blocked={},
    )
    chosen = [
        y for y in years if redo or of_year[y] in ("failed", "missing") or (of_year[y] == "stale" and not keep_stale)
    ]
    assert [year for each in blocks(plan) for year in each.years] == chosen
    kept = [y for y in years if of_year[y] == "stale" and y not in chosen]
    assert plan.kept_stale == dict.fromkeys(kept, 1)
    usable = {year for year in restarts & set(years) if of_year[year] == "done"}
    for each in blocks(plan):
        assert each.spin_up or each.first - 1 in usable
        usable |= set(each.restarts)


def test_years_after_a_failed_one_say_that_they_wait_for_it() -> None:
    years = range(FIRST, FIRST + 6)
    today, before = prints_of(years), prints_of(years, changed=FIRST + 4)
    done = {FIRST: today[FIRST], FIRST + 3: today[FIRST + 3], FIRST + 4: before[FIRST + 4]}
    plan = make_plan(
        [TILE],
        request=Request(tuple(years), FIRST, 5, RestartSettings()),
        prints={TILE.tile.name: today},
        ledger=fake_ledger(done, set(), frozenset({FIRST + 1})),  # type: ignore[arg-type]
        blocked={},
    )
    reasons = [plan.states[TILE.tile.name, year].reason for year in years]
    waits = f"waits for {FIRST + 1}"
    assert reasons == ["", "broken", waits, "", waits, waits]
