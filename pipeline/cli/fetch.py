"""`agcarbon fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.options import Products, RunFilePath, Years

if TYPE_CHECKING:
    from pipeline.fetch.needs import Archive
    from pipeline.fetch.run import Fetched, FetchPlan


def fetch(
    run_file: RunFilePath,
    *,
    years: Years = None,
    product: Products = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only list present and missing files; needs no login")
    ] = False,
    only: Annotated[
        str | None, typer.Option(help="pattern of SLOPE file names, such as 'GPP.*.tif'; default *GPP*")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="also verify the checksums of files fetched earlier")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=16, help="files at a time")] = 4,
    list_links: Annotated[
        Literal["polaris", "soilgrids"] | None,
        typer.Option("--list", help="sum up the links of this soil product"),
    ] = None,
    all_links: Annotated[bool, typer.Option("--links", help="with --list: print all links, one a line")] = False,
) -> str | None:
    """Download NLDAS-2 and SLOPE GPP; list steps for other archives.

    Given again after an interruption, the command fetches only files that are not complete yet. Files are verified by
    size and checksum, and listed in fetched.jsonl in their folder. Tested against generated responses only.
    """
    from pipeline.console import console
    from pipeline.errors import UserError
    from pipeline.fetch.manual import links, links_summary, steps
    from pipeline.fetch.needs import FETCHED, archive_of, known_products
    from pipeline.fetch.report import plan_table, print_fetched
    from pipeline.job import Job

    job = Job.open(run_file)
    if all_links and not list_links:
        raise UserError("--links prints the links of a soil product; name it: --list polaris, or --list soilgrids")
    if list_links:
        listing = links if all_links else links_summary
        print("\n".join(listing(list_links, run_file=job.run_file, region=job.region)))
        return ""
    selected = job.years(years)
    products = known_products(product)
    for name in products:
        for step in steps(name, run_file=job.run_file, region=job.region, years=selected):
            console.print(f"by hand, {name}: {step}", soft_wrap=True, markup=False)
    archives = [
        archive_of(name, run_file=job.run_file, region=job.region, years=selected, only=only)
        for name in products
        if name in FETCHED
    ]
    plans = _plan(archives, recheck=verify)
    for plan in plans:
        console.print(plan_table(plan))
    if dry_run or not plans:
        return "agcarbon fetch {run_file} {--years}" if plans else None
    done = _fetch([plan for plan in plans if plan.todo], parallel=parallel)
    print_fetched(console, done)
    if any(fetched.failures for fetched in done):
        raise typer.Exit(1)
    return None


def _plan(archives: list[Archive], *, recheck: bool) -> list[FetchPlan]:
    if not archives:
        return []
    _need_earthaccess()
    from pipeline.console import progress_bars
    from pipeline.fetch.earthdata import EarthdataCatalogue
    from pipeline.fetch.run import plan_fetch

    with progress_bars() as report:
        return [plan_fetch(archive, EarthdataCatalogue(), recheck=recheck, progress=report) for archive in archives]


def _fetch(plans: list[FetchPlan], *, parallel: int) -> list[Fetched]:
    if not plans:
        return []
    from pipeline.console import progress_bars
    from pipeline.fetch.earthdata import log_in, open_store
    from pipeline.fetch.run import fetch as fetch_plan

    store = open_store(log_in())
    with progress_bars() as report:
        return [fetch_plan(plan, store, parallel=parallel, progress=report) for plan in plans]


def _need_earthaccess() -> None:
    from importlib.util import find_spec

    from pipeline.errors import UserError

    if find_spec("earthaccess") is None:
        raise UserError("downloading needs the package earthaccess; install it with pip install 'agcarbon[download]'")
