"""What pictures are tested for: colours as a deuteranope sees them, and letters that lie on each other or on data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

# Machado, Oliveira & Fernandes (2009), doi:10.1109/TVCG.2009.113: deuteranomaly of severity 1, on linear RGB.
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
# IEC 61966-2-1 (sRGB), to CIE XYZ under D65.
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TOUCH = 0.5  # pixels by which letters may meet


def as_a_deuteranope_sees(rgb: ArrayLike) -> NDArray[np.float64]:
    """Return sRGB colours (..., 3) as seen without the pigment of middle wavelengths, as CIELAB."""
    return _lab(np.clip(_linear(np.asarray(rgb, float)) @ DEUTERANOPIA.T, 0, 1))


def _linear(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    t = linear @ _XYZ.T / _WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def overlapping(drawing: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts of a figure whose bounding boxes overlap."""
    drawing.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in _texts(drawing)]
    return [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if _meet(a, b)]


def _texts(drawing: Figure) -> list[Text]:
    """Return the texts that are drawn: ticks outside the limits of their axis are not."""
    axes = [axis for place in drawing.axes for axis in (place.xaxis, place.yaxis)]
    ticks = [(axis, tick) for axis in axes for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())]
    hidden = {id(label) for axis, tick in ticks if not _shown(axis, tick) for label in (tick.label1, tick.label2)}
    hidden |= {id(text) for place in drawing.axes if not place.axison for text in place.findobj(Text)}
    found = {id(text): text for text in drawing.findobj(Text) if isinstance(text, Text)}
    return [text for key, text in found.items() if key not in hidden and text.get_visible() and text.get_text().strip()]


def _shown(axis: Axis, tick: Tick) -> bool:
    low, high = sorted(axis.get_view_interval())
    return bool(low <= tick.get_loc() <= high)


def _meet(a: Bbox, b: Bbox) -> bool:
    return min(a.x1, b.x1) - max(a.x0, b.x0) > _TOUCH and min(a.y1, b.y1) - max(a.y0, b.y0) > _TOUCH


def letters_on_data(axes: Axes) -> list[str]:
    """Return the texts and legends of axes that lie on a point of its lines."""
    drawing = axes.get_figure()
    assert drawing is not None
    drawing.draw_without_rendering()
    points = np.concatenate([_pixels(axes, line.get_xydata()) for line in axes.lines] or [np.empty((0, 2))])
    legend = axes.get_legend()
    places: Sequence[tuple[str, Bbox]] = [(text.get_text(), text.get_window_extent()) for text in axes.texts]
    places = [*places, *([("legend", legend.get_window_extent())] if legend else [])]
    return [name for name, box in places if any(box.contains(*point) for point in points)]


def _pixels(axes: Axes, values: ArrayLike) -> NDArray[np.float64]:
    pixels = axes.transData.transform(np.asarray(values, float))
    return pixels[np.isfinite(pixels).all(axis=1)]
