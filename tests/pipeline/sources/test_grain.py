"""Harvested grain of fields: carbon by hand, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.sources.grain import read_grain


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["year,crop,grain_t_ha,location", *rows]))
    return path


def test_grain_is_dried_and_turned_into_carbon(tmp_path: Path) -> None:
    found = read_grain([write(tmp_path / "a.csv", "2001,corn,10,US-Ne1", "2002,soybean,4,US-Ne3")])
    assert found["site"].tolist() == ["US-Ne1", "US-Ne3"]
    assert found["crop"].tolist() == [1, 5]
    # t ha-1 are 100 g m-2: 84.5 % dry matter of 45 % carbon; soybean 87 % of 54 %.
    assert found["grain_gc_m2"].tolist() == pytest.approx([1000 * 0.845 * 0.45, 400 * 0.87 * 0.54])
    assert read_grain([]).empty


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("2001,wheat,5,US-Ne1", "crop wheat in row 1 is not one of corn"),
        ("2001,corn,190,US-Ne1", "grain_t_ha 190 in row 1 is not between 0 and 25 t ha-1"),
        ("2001,corn,,US-Ne1", "grain_t_ha nan in row 1"),
    ],
)
def test_other_crops_and_units_are_refused(tmp_path: Path, row: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read_grain([write(tmp_path / "a.csv", row)])


def test_a_missing_column_and_a_year_given_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("year,crop\n2001,corn")
    with pytest.raises(UserError, match=r"b\.csv: missing columns \['grain_t_ha', 'location'\]"):
        read_grain([tmp_path / "b.csv"])
    twice = write(tmp_path / "a.csv", "2001,corn,10,US-Ne1", "2001,corn,11,US-Ne1")
    with pytest.raises(UserError, match="US-Ne1 in 2001 is given twice"):
        read_grain([twice])
