"""Days of half-hourly and hourly files, and steps that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.towers.read import read_tower
from tests.helpers.tower_files import (
    GC_PER_UMOL,
    STEP_COLUMNS,
    fluxnet_steps,
    write_fluxnet,
)


@pytest.mark.parametrize("minutes", [30, 60])
def test_days_of_steps_are_the_integrals_of_the_fluxes(tmp_path: Path, minutes: int) -> None:
    """A sine over the day integrates to zero, a ramp from day to day to its mean, whatever the step.

    The days include a change to daylight saving time, of which local standard time knows nothing.
    """
    hours = np.arange(0, 3 * 24, minutes / 60) + minutes / 120  # middles of the steps
    nee = 2 - 10 * np.sin(2 * np.pi * hours / 24) + hours / 24
    tower = read_tower(write_fluxnet(tmp_path, fluxnet_steps(nee, minutes=minutes), columns=STEP_COLUMNS))
    assert [f"{day:%Y-%m-%d}" for day in tower.days.index] == ["2003-03-08", "2003-03-09", "2003-03-10"]
    np.testing.assert_allclose(tower.days["nee"], np.array([2.5, 3.5, 4.5]) * GC_PER_UMOL * 86400, rtol=1e-12)
    np.testing.assert_allclose(tower.gpp, tower.days["reco"] - tower.days["nee"])
    assert (tower.days["qc"] == 1).all()


def test_the_step_that_ends_at_midnight_belongs_to_the_day_that_it_began_in(tmp_path: Path) -> None:
    nee = np.zeros(96)
    nee[47] = 48.0
    days = read_tower(write_fluxnet(tmp_path, fluxnet_steps(nee), columns=STEP_COLUMNS)).days
    np.testing.assert_allclose(days["nee"], [GC_PER_UMOL * 86400, 0])


def test_a_day_with_a_missing_step_is_missing_and_counted(tmp_path: Path) -> None:
    rows = fluxnet_steps(np.full(144, 2.0))
    absent, marked = rows[:10] + rows[11:], [*rows[:60], rows[60].replace(",2.0,", ",-9999,"), *rows[61:]]
    for given, day in ((absent, 0), (marked, 1)):
        tower = read_tower(write_fluxnet(tmp_path, given, columns=STEP_COLUMNS))
        assert list(np.flatnonzero(tower.days["nee"].isna())) == [day]
        assert "of the file's 3 days, 1 have a gap in NEE" in " ".join(tower.reading)


def test_steps_out_of_place_are_refused_with_their_row(tmp_path: Path) -> None:
    rows = fluxnet_steps(np.full(48, 2.0))
    late = rows[7].replace("200303080400", "200303080430")  # an hour among half-hours
    faults = {
        8: [*rows[:7], rows[6], *rows[7:]],  # twice
        5: [*rows[:4], rows[5], rows[4], *rows[6:]],  # exchanged: row 6 comes second
        9: [*rows[:8], rows[8].replace("2003030804", "2003030824"), *rows[9:]],  # hour 24
        4: [*rows[:3], "2.00303E+11" + rows[3][12:], *rows[4:]],  # a spreadsheet was here
    }
    for row, given in faults.items():
        at = row + 1 if row == 5 else row
        with pytest.raises(UserError, match=f"in row {at} is not one step"):
            read_tower(write_fluxnet(tmp_path, given, columns=STEP_COLUMNS))
    with pytest.raises(UserError, match="in row 8 is not one step"):
        read_tower(write_fluxnet(tmp_path, [*rows[:7], late, *rows[8:]], columns=STEP_COLUMNS))
    with pytest.raises(UserError, match="in row 1 is not one step"):
        read_tower(write_fluxnet(tmp_path, fluxnet_steps(np.full(8, 2.0), minutes=15), columns=STEP_COLUMNS))
    with pytest.raises(UserError, match="in row 1 is not one step"):
        read_tower(
            write_fluxnet(tmp_path, fluxnet_steps(np.full(8, 2.0), start="2003-03-08 00:10"), columns=STEP_COLUMNS)
        )


def test_steps_in_another_unit_are_refused_or_reported(tmp_path: Path) -> None:
    hours = np.arange(40 * 24)
    umol = 5 - 30 * np.clip(np.sin(2 * np.pi * (hours - 6) / 24), 0, None)

    def read(nee: np.ndarray) -> str:
        rows = fluxnet_steps(nee, minutes=60, start="2003-07-01")
        return " ".join(read_tower(write_fluxnet(tmp_path, rows, columns=STEP_COLUMNS)).reading)

    assert "unit" not in read(umol)
    assert "unit" not in read(umol[: 19 * 24] * 0.044)  # too short a record to know a summer
    assert "Check the unit: 99 % of NEE_VUT_REF in June to August is within 1.1" in read(umol * 0.044)  # mg m-2 s-1
    with pytest.raises(UserError, match=r"of NEE_VUT_REF exceed 100 umol .* mg CO2 m-2 h-1"):
        read(umol * 158)
