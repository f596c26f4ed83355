"""The page in a headless Chromium: map, series, table and link, without a fault in the console."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import zarr

from pipeline.view.server import Site, address, open_server
from tests.helpers import chromium
from tests.helpers.filled_cube import FIRST, LAST
from tests.helpers.published import Published

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.executable() is None, reason="Chromium is not installed: the page was not opened"),
]


@pytest.fixture(scope="module")
def page(published: Published) -> Iterator[chromium.Page]:
    with open_server(Site(published.page, published.store), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with chromium.browser() as page:
            page.size(1280, 800)
            page.open(address(server))
            page.wait("document.body?.dataset.map", seconds=90)
            yield page
        server.shutdown()
        thread.join()


def numbers(page: chromium.Page, expression: str) -> np.ndarray:
    """Values of an array of the page; null stands for NaN."""
    found = page.value(
        f"{expression}.then((values) => Array.from(values, (value) => Number.isFinite(value) ? value : null))"
    )
    return np.array([np.nan if value is None else value for value in found], np.float32)


def test_the_values_that_the_page_reads_are_those_of_the_store(page: chromium.Page, published: Published) -> None:
    root = zarr.open_group(published.store, mode="r")
    rows, cols = np.nonzero(np.asarray(root["annual/mask"][...]))  # type: ignore[index]
    for row, col in zip(rows[::400].tolist(), cols[::400].tolist(), strict=True):
        for index, year in enumerate((FIRST, LAST)):
            daily = root[f"daily/{year}/nee"][:, row, col]  # type: ignore[index]
            cell = f"{{row: {row}, col: {col}}}"
            np.testing.assert_array_equal(numbers(page, f"agcarbon.cube.daily('nee', {year}, {cell})"), daily)
            for name in ("dsoc", "crop", "quality"):
                stored = root[f"annual/{name}"][index, row, col]  # type: ignore[index]
                read = numbers(page, f"agcarbon.cube.annual('{name}', {year}, {cell}).then((value) => [value])")
                np.testing.assert_array_equal(read, np.float32([stored]))


def test_a_click_finds_the_cell_below_it(page: chromium.Page) -> None:
    found = page.value(
        "Array.from({length: 50}, (_, n) => ({row: n, col: (n * 7) % 40})).every((cell) => {"
        "const [lng, lat] = agcarbon.cube.centre(cell); const at = agcarbon.cube.cell(lng, lat);"
        "return at.row === cell.row && at.col === cell.col; })"
    )
    assert found is True


def test_a_chosen_cell_shows_series_and_table_and_the_link_keeps_them(
    page: chromium.Page, published: Published
) -> None:
    root = zarr.open_group(published.store, mode="r")
    row, col = (int(at[1]) for at in np.nonzero(np.asarray(root["annual/mask"][...])))  # type: ignore[index]
    page.value(f"agcarbon.choose({{row: {row}, col: {col}}})")
    page.wait("document.body.dataset.table")
    assert page.value("document.querySelectorAll('#series path').length") == 3
    assert page.value(
        "[...document.querySelectorAll('#table tbody tr td:first-child')].map((td) => td.textContent)"
    ) == [
        str(FIRST),
        str(LAST),
    ]
    link = page.value("location.href")
    assert f"cell={row},{col}" in link
    page.open("about:blank")
    page.open(link.replace("variable=nee", "variable=dsoc"))
    page.wait("document.body?.dataset.table", seconds=90)
    assert page.value("document.getElementById('variable').value") == "dsoc"
    assert "Soil carbon change" in page.value("document.getElementById('legend').textContent")


def test_a_county_is_found_by_name_and_by_code_and_shown(page: chromium.Page) -> None:
    for text, shown in (("logan", "Logan"), ("17129", "Menard")):
        page.value(
            f"(() => {{ const field = document.getElementById('county'); field.value = '{text}';"
            "field.dispatchEvent(new Event('change')); })()"
        )
        page.wait("!agcarbon.map.isMoving()")
        found = page.value("agcarbon.map.getSource('chosen').serialize().data.features[0].properties")
        assert found["name"] == shown
        west, south, east, north = found["bounds"]
        corners = page.value("agcarbon.map.getBounds().toArray()")
        assert corners[0][0] <= west < east <= corners[1][0]
        assert corners[0][1] <= south < north <= corners[1][1]
    page.value(
        "(() => { const field = document.getElementById('county'); field.value = 'Atlantis';"
        "field.dispatchEvent(new Event('change')); })()"
    )
    assert "Atlantis" in page.value("document.getElementById('status').textContent")


def test_year_and_opacity_change_the_map_and_the_link(page: chromium.Page) -> None:
    for name, value in (("year", 0), ("opacity", 0.4)):
        page.value(
            f"(() => {{ const field = document.getElementById('{name}'); field.value = {value};"
            "field.dispatchEvent(new Event('input')); })()"
        )
    page.wait(f"document.body.dataset.map.endsWith('{FIRST}')")
    assert page.value("agcarbon.map.getPaintProperty('picture', 'raster-opacity')") == 0.4
    assert f"year={FIRST}&opacity=0.4" in page.value("location.hash")


def test_every_layer_is_drawn_and_nothing_outside_is_asked_for(page: chromium.Page) -> None:
    for name in page.value("[...document.getElementById('variable').options].map((each) => each.value)"):
        page.value(
            f"(() => {{ delete document.body.dataset.map; const list = document.getElementById('variable');"
            f"list.value = '{name}'; list.dispatchEvent(new Event('change')); }})()"
        )
        page.wait("document.body.dataset.map")
        drawn = page.value(
            "(() => { const { canvas } = agcarbon.picture; const { data } = canvas.getContext('2d')"
            ".getImageData(0, 0, canvas.width, canvas.height); let n = 0;"
            "for (let i = 3; i < data.length; i += 4) n += data[i] > 0; return n / (data.length / 4); })()"
        )
        assert 0.02 < drawn < 0.9, name
    hosts = {address.split("/")[2].split(":")[0] for address in page.requests if address.startswith("http")}
    assert hosts == {"127.0.0.1"}
    assert not page.faults
