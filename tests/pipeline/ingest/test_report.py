"""The report of an ingest: counts, states, and the table for the terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from pipeline.config import RunFile
from pipeline.grid.domain import domain_of
from pipeline.storage import repository
from regions import load_region
from tests.helpers import small_archives
from tests.helpers.ingests import do, root_of


def test_the_report_counts_what_the_archives_hold(ingested: RunFile) -> None:
    rows = {(row.product, row.year): row for row in do(ingested).rows}
    assert set(rows) == {(p, y) for p in ("climate", "gpp", "crop") for y in (2011, 2012)} | {("soil", None)}
    climate = rows["climate", 2011].record
    assert (climate.cells, climate.missing) == (16, 1)  # the undefined cell
    gpp, tiles = rows["gpp", 2011].record, domain_of(load_region(ingested.region)).tiles
    assert gpp.files == 2 * len(small_archives.DAYS)
    # The crop layer leaves out some cells in the north-west: no GPP of theirs is stored or counted.
    assert 0 < gpp.cells < len(tiles) * 64
    assert gpp.missing == 0
    assert gpp.counts["cells not stored"] == len(tiles) * 64 - gpp.cells
    grid, root = domain_of(load_region(ingested.region)).grid, root_of(ingested)
    share = (
        sum(repository.values(root, f"crop/{y}/{c}_fraction") for y in (2011, 2012) for c in ("corn", "soybean")) / 2
    )
    assert gpp.cells == sum((share[grid.window(tile)] >= 0.1).sum() for tile in tiles)
    assert gpp.counts["days interpolated"] == gpp.cells * (198 - len(small_archives.DAYS))
    assert gpp.counts["dormant days set to 0"] == gpp.cells * (365 - 198)
    assert gpp.counts["tile-days without file"] == len(tiles) * (365 - len(small_archives.DAYS))
    assert 0 < rows["soil", None].record.missing < rows["soil", None].record.cells


def test_the_report_prints(ingested: RunFile) -> None:
    console = Console(width=200, file=io.StringIO())
    console.print(do(ingested))
    text = console.file.getvalue()
    assert "gpp/2012" in text
    assert "unchanged" in text


def test_a_minimum_of_negative_zero_is_printed_as_zero(ingested: RunFile) -> None:
    (row, *_) = (row for row in do(ingested).rows if row.product == "crop")
    row = replace(row, record=replace(row.record, minimum=-0.0, maximum=1.0))
    assert row.cells[3] == "corn_fraction 0 to 1"
