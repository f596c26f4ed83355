"""`agcarbon regions` and `agcarbon counties`: names to write into a run file, a region file or an option."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import AsJson


def regions(as_json: AsJson = False) -> None:
    """List the regions that are included.

    A region file of your own may stand wherever a region is named: `agcarbon init --region-file` writes one.
    """
    from pipeline.console import console, print_json
    from regions import included, load_region, zones

    found = {name: load_region(name) for name in included()}
    if as_json:
        print_json({name: {"title": one.title, "years": one.years} for name, one in found.items()})
        return
    for name, one in found.items():
        size = f"{len(zones(one)):,} counties, {one.first_year}-{one.last_year}"
        console.print(f"{name:<10}{one.title}: {size}", soft_wrap=True)


def counties(
    name: Annotated[str, typer.Argument(help="part of a county's name, FIPS code or its beginning, or state")],
    as_json: AsJson = False,
) -> None:
    """Look up the FIPS codes of counties by name, code or state."""
    from pipeline.console import console, print_error, print_json
    from regions import counties as all_counties
    from regions import counties_like, did_you_mean

    found = counties_like(name)
    if as_json:
        print_json({zone.fips: {"name": zone.name, "state": zone.state} for zone in found})
    for zone in () if as_json else found:
        console.print(f"{zone.fips}  {zone.name}, {zone.state}")
    if not found:
        print_error(
            f"no county, state or FIPS code holds {name!r}{did_you_mean(name, [zone.name for zone in all_counties()])}"
        )
        raise typer.Exit(1)
