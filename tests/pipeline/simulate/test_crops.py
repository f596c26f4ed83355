from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.crops import crop_of_year, first_crop, modelled


def fractions(*years: tuple[float, float]) -> NDArray[np.float32]:
    """Corn and soybean of one cell by year, (Y, 2, 1)."""
    return np.array(years, np.float32)[..., None]


def test_a_cell_is_modelled_from_exactly_half_on_average() -> None:
    assert modelled(fractions((0.7, 0.1), (0.0, 0.2)), 0.5)[0]
    assert modelled(fractions((0.3, 0.2), (0.1, 0.4)), 0.5)[0]
    assert not modelled(fractions((0.6, 0.1), (0.0, 0.2)), 0.5)[0]


def test_a_cell_with_an_unknown_year_is_not_modelled() -> None:
    assert not modelled(fractions((0.9, 0.0), (np.nan, np.nan)), 0.5)[0]


def test_the_larger_share_names_the_crop_even_where_it_is_not_grown() -> None:
    first = np.array([1], np.uint8)
    grown = crop_of_year(fractions((0.2, 0.6)), first, 0.5)
    assert (grown.crop_N[0], grown.grown_N[0]) == (5, True)
    little = crop_of_year(fractions((0.2, 0.6), (0.1, 0.05)), first, 0.5)
    assert (little.crop_N[0], little.grown_N[0]) == (1, False)


def test_a_year_without_either_takes_the_crop_of_the_year_before_else_the_next_grown_one() -> None:
    history = fractions((0.0, 0.0), (0.0, 0.9), (0.0, 0.0))
    first = first_crop(history, 0.5)
    assert first[0] == 5
    assert crop_of_year(history[:1], first, 0.5).crop_N[0] == 5
    assert crop_of_year(history, first, 0.5).crop_N[0] == 5
    assert not crop_of_year(history, first, 0.5).grown_N[0]


def test_the_first_crop_is_of_the_first_grown_year_not_of_a_smaller_share() -> None:
    assert first_crop(fractions((0.0, 0.3), (0.8, 0.0), (0.0, 0.9)), 0.5)[0] == 1
