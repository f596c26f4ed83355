"""`agcarbon regions` and `agcarbon counties`."""

from __future__ import annotations

import json

from click.testing import Result
from typer.testing import CliRunner

from pipeline.cli.main import app


def agcarbon(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_regions_are_listed_with_their_size_and_years() -> None:
    assert "three_i   Illinois, Iowa and Indiana: 293 counties, 2000-2020" in agcarbon("regions").stdout
    assert list(json.loads(agcarbon("regions", "--json").stdout)) == ["demo", "midwest", "three_i"]


def test_counties_are_found_by_name_code_and_state() -> None:
    assert agcarbon("counties", "champaign").stdout == "17019  Champaign, IL\n39021  Champaign, OH\n"
    assert agcarbon("counties", "17019").stdout == "17019  Champaign, IL\n"
    assert len(agcarbon("counties", "IA").stdout.splitlines()) == 99
    assert json.loads(agcarbon("counties", "17019", "--json").stdout) == {"17019": {"name": "Champaign", "state": "IL"}}


def test_a_misspelt_county_ends_with_a_near_name_and_exit_code_1() -> None:
    done = agcarbon("counties", "champain")
    assert done.exit_code == 1
    assert "did you mean Champaign" in done.stderr
