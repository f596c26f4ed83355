"""Parts of an HTML page: escaped text, tables, embedded images."""

from __future__ import annotations

import base64

import pandas as pd
from matplotlib.figure import Figure

from pipeline.evaluation import page


def test_the_title_is_escaped_and_the_parts_are_kept() -> None:
    text = page.document("a < b", ["<p>1</p>", "<p>2</p>"])
    assert text.count("a &lt; b") == 2
    assert "<p>1</p>\n<p>2</p>" in text
    assert "a < b" not in text


def test_a_table_has_three_digits_and_a_dash_for_missing_values() -> None:
    text = page.table(pd.DataFrame({"r2": [0.12345, float("nan")]}))
    assert "<td>0.123</td>" in text
    assert "<td>–</td>" in text
    assert page.table(pd.DataFrame({"r2": []})) == "<p>None.</p>"


def test_an_image_is_embedded_as_png() -> None:
    png = page.png_of(Figure(figsize=(1, 1)))
    text = page.image(png, text='"R²"')
    assert 'alt="&quot;R²&quot;"' in text
    assert base64.b64decode(text.split("base64,")[1].removesuffix('">')) == png
    assert png.startswith(b"\x89PNG")
