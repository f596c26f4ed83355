"""Self-contained HTML pages: head, notes, tables and images."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure

DPI = 110
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 0.8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left; }
img { max-width: 100%; } .note { color: #555; margin: 0.2rem 0; } .bad { color: #b00020; }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Return an HTML page with a title in plain text and parts in HTML."""
    title, body = html.escape(title), "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body></html>\n'


def note(text: str) -> str:
    """Return plain text as a grey paragraph.

    Examples
    --------
    >>> note("R² < 0")
    '<p class="note">R² &lt; 0</p>'
    """
    return f'<p class="note">{html.escape(text)}</p>'


def table(values: pd.DataFrame) -> str:
    """Return a table with numbers to three significant digits, or "None." if it is empty."""
    if values.empty:
        return "<p>None.</p>"
    return str(values.to_html(index=False, border=0, na_rep="–", float_format=lambda value: f"{value:.3g}"))


def image(png: bytes, *, text: str) -> str:
    """Return an image embedded in the page, with its alternative text."""
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def png_of(drawing: Figure) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
