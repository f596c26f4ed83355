"""The table of model peculiarities: faults are named with their entries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.sources.trendy.models import SHIPPED, load_models


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("colour = 1", "models.ORCHIDEE.colour: Extra inputs"),
        ('months = "guessed"', "models.ORCHIDEE.months: Input should be 'decoded' or 'counted'"),
        ('months = "counted"', "models.ORCHIDEE: .*first_years must be given for months = .counted., and only then"),
        ("first_years = [1700]", "models.ORCHIDEE: .*first_years must be given for months = .counted., and only then"),
        ('file = "OCN_S3.nc"', r"models.ORCHIDEE: .*file must contain \{name\} and \{variable\}"),
        ('derived = { ra = ["gpp"] }', "models.ORCHIDEE.derived.ra: .*at least 2"),
        ('derived = { ra = ["gpp", "lai"] }', "models.ORCHIDEE.derived.ra.1: Input should be"),
        ("fill = [", "not a readable TOML file"),
    ],
)
def test_faults_of_a_table_are_named(tmp_path: Path, entry: str, fault: str) -> None:
    copy = tmp_path / "table.toml"
    copy.write_text(SHIPPED.read_text())
    assert load_models(copy) == load_models()
    changed = tmp_path / "changed.toml"
    changed.write_text(re.sub(r"(\[models\.ORCHIDEE\].*)", lambda head: f"{head[1]}\n{entry}", SHIPPED.read_text()))
    with pytest.raises(UserError, match=rf"(?s)changed\.toml: .*{fault}"):
        load_models(changed)


def test_a_missing_or_malformed_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml: not a readable TOML file"):
        load_models(tmp_path / "none.toml")
    (tmp_path / "flat.toml").write_text("models.OCN = 3\nextra = 1")
    with pytest.raises(UserError, match=r"flat\.toml: models\.OCN: .*; extra: Extra inputs"):
        load_models(tmp_path / "flat.toml")
