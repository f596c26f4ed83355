"""The page holds the numbers of the cube, refers to nothing outside itself, and says where data are synthetic."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pipeline.aggregate.tables import read_table
from pipeline.analysis.registry import named
from pipeline.analysis.subject import Subject
from pipeline.analysis.write import write_findings
from pipeline.grid.sinusoidal import CELL_M
from pipeline.job import Job
from pipeline.report.values import RegionValues
from pipeline.report.write import make_report, write_report
from tests.helpers.filled_cube import fill_cube
from tests.pipeline.analysis.conftest import Whole

pytestmark = pytest.mark.slow

VARIABLES = ("dsoc", "nee", "yield", "gpp")


class Page(HTMLParser):
    """Texts, attributes and tables of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: list[str] = []
        self.scripts: dict[str, str] = {}
        self._table = self._script = ""
        self._cell: list[str] | None = None
        self.feed(html)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.references += [str(of[name]) for name in ("src", "href", "srcset", "action", "data") if name in of]
        if tag == "table":
            self._table = str(of.get("id"))
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in ("td", "th"):
            self._cell = []
        elif tag == "script":
            self._script = str(of.get("id", "code"))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[self._table][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None
        elif tag == "script":
            self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
            return
        self.texts.append(data)
        if self._cell is not None:
            self._cell.append(data)


def value(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


@pytest.fixture(scope="module")
def html(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder, analysis = str(tmp_path_factory.mktemp("analyses")), named("dsoc")
    write_findings(folder, analysis, subject, analysis.analyse(subject))
    return make_report(subject, analyses=folder).html


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def numbers(html: str) -> Iterator[tuple[str, float]]:
    for name, text in re.findall(r'data-quantity="(\w+)">.*?<b>(.*?) <span>', html, re.DOTALL):
        yield name, value(text)


def test_the_headlines_are_means_over_all_cells_and_years(html: str, whole: Whole) -> None:
    found = dict(numbers(html))
    assert tuple(found) == VARIABLES
    for name in VARIABLES:
        layer = whole.layer(name)
        present = np.isfinite(layer)
        weights = np.where(present, whole.area_m2, 0)
        mean = (np.where(present, layer, 0) * weights).sum() / weights.sum()
        assert found[name] == pytest.approx(mean, abs=0.5 + 1e-4 * abs(mean))


@pytest.mark.parametrize("year", ["all years", "2010", "2012"])
def test_the_county_table_equals_the_csv(page: Page, whole: Whole, year: str) -> None:
    table = read_table(whole.job.stores.exports, "counties")
    table = table[(table["cover"] == "cells") & ((table["year"].astype(str) == year) | (year == "all years"))]
    columns = [f"{name}_g_m2" for name in VARIABLES]
    expected: dict[str, list[float]] = {}
    for county, rows in table.groupby("county"):
        areas = [rows[name].mean() / 1e6 for name in ("area_m2", "missing_m2")]
        expected[county] = [*areas, *(np.average(rows[name], weights=rows["area_m2"]) for name in columns)]
    body = page.tables["counties"][1:]
    stored = json.loads(page.scripts["county-numbers"])
    assert sorted(row[0] for row in body) == sorted(expected)
    for index, row in enumerate(body):
        assert stored[year][index] == pytest.approx(expected[row[0]], abs=0.0501)
        if year == "all years":
            assert [value(text) for text in row[2:]] == stored[year][index]


def test_the_page_needs_nothing_from_outside(html: str, page: Page) -> None:
    assert all(each.startswith(("data:", "#")) for each in page.references)
    assert not re.search(r"https?://|@import|url\(", html)
    assert sum(each.startswith("data:image/png") for each in page.references) >= 8
    assert page.scripts["code"].count("addEventListener") >= 4
    assert "sort" in page.scripts["code"]


def test_the_analysis_of_this_state_is_in_it_and_others_are_named(page: Page) -> None:
    assert "What it cannot say." in page.text
    assert "Crop rotations: not run; `agcarbon analyze rotation RUN_FILE`" in page.text


def test_an_analysis_of_another_state_is_left_out(subject: Subject, tmp_path: Path) -> None:
    analysis = named("rotation")
    write_findings(str(tmp_path), analysis, subject, analysis.analyse(subject))
    record = tmp_path / "rotation" / "rotation.json"
    record.write_text(record.read_text().replace(subject.cube.snapshot, "X" * 20))
    report = make_report(subject, analyses=str(tmp_path))
    assert "Crop rotations: of another state of the cube (XXXXXXXX)" in " ".join(report.notes)
    assert "None was written of this state" in report.html


def test_missing_area_and_flags_are_shares_of_the_area(page: Page, whole: Whole) -> None:
    rows = {row[0]: row[2:] for row in page.tables["quality-table"]}
    gpp, flags = whole.layer("gpp"), whole.layer("quality").astype(int)
    area = np.broadcast_to(whole.area_m2, gpp.shape)
    present = np.isfinite(gpp)
    absent = np.where(present, 0, area).sum(axis=1) / area.sum(axis=1)
    assert [value(text.rstrip(" %")) for text in rows["missing"]] == pytest.approx(100 * absent, abs=0.051)
    clean = np.where(present & (flags == 0), area, 0).sum(axis=1) / np.where(present, area, 0).sum(axis=1)
    assert [value(text.rstrip(" %")) for text in rows["no remark"]] == pytest.approx(100 * clean, abs=0.051)


def test_synthetic_is_said_on_the_first_screen_and_names_are_escaped(subject: Subject, page: Page) -> None:
    made = Subject.open(subject.job)
    made.__dict__["synthetic"] = True
    made.__dict__["provenance"] = {**subject.provenance, "checkpoint_origin": "<b>weights</b> & more"}
    html = make_report(made).html
    assert "Synthetic." in Page(html).text.split("Maps", 1)[0]
    assert "Synthetic" not in page.text
    assert "&lt;b&gt;weights&lt;/b&gt; &amp; more" in html


def test_a_cube_without_aggregates_and_with_a_missing_tile_says_so(tmp_path: Path) -> None:
    job: Job = fill_cube(tmp_path).job
    notes = write_report(str(tmp_path / "page.html"), Subject.open(job))
    assert any("make them with `agcarbon aggregate`" in note for note in notes)
    page = Page((tmp_path / "page.html").read_text())
    assert re.search(r"2012: 1 of \d+ tiles have no result: these tiles are in none of the numbers", page.text)
    assert "counties" not in page.tables
    # Each tile-year has a cell without its inputs; a tile without a result is reported apart, and not as missing area.
    missing_cells_Y = RegionValues.of(Subject.open(job)).missing_m2_Y / CELL_M**2
    assert (missing_cells_Y < len(job.domain.tiles) + 0.5).all()


@pytest.mark.parametrize(("crop", "code"), [("corn", 1), ("soybean", 5)])
def test_distributions_are_of_the_cells_and_years_that_grew_the_crop(
    subject: Subject, whole: Whole, crop: str, code: int
) -> None:
    spread, layer = RegionValues.of(subject).spreads["dsoc", crop], whole.layer("dsoc")
    grown = (whole.layer("crop") == code) & (whole.layer("quality").astype(int) & 1 == 0) & np.isfinite(layer)
    area = np.broadcast_to(whole.area_m2, layer.shape)
    assert spread.area_m2.sum() == pytest.approx(area[grown].sum(), rel=1e-6)
    ordered = np.argsort(layer[grown])
    below = area[grown][ordered].cumsum()
    median = layer[grown][ordered][np.searchsorted(below, below[-1] / 2)]
    assert spread.quantile(0.5) == pytest.approx(median, abs=spread.width)


def test_courses_are_means_over_the_cells_of_a_crop(subject: Subject, whole: Whole) -> None:
    values = RegionValues.of(subject)
    crop, quality = whole.layer("crop"), whole.layer("quality").astype(int)
    grown = (crop == 1) & (quality & 1 == 0)
    total, area = np.zeros(365), 0.0
    for index, year in enumerate(subject.years):
        nee = whole.cube.root[f"daily/{year}/nee"][:][:, whole.mask].astype(float)
        nee = np.delete(nee, 59, axis=0) if len(nee) == 366 else nee
        chosen = grown[index] & np.isfinite(nee).all(axis=0)
        total += nee[:, chosen] @ whole.area_m2[chosen]
        area += whole.area_m2[chosen].sum()
    np.testing.assert_allclose(values.courses.mean("corn")[2], total / area, rtol=1e-4, atol=1e-6)
