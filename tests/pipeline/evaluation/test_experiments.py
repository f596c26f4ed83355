"""An experiment's networks side by side: the table, its sentences, figure and page."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import model.experiments.run as experiments
from model.experiments.rows import CourseDay, Row, read_rows, write_rows
from model.experiments.run import INGREDIENTS, KGML, PURE_ML
from model.recipe.toml import RecipeError
from pipeline.evaluation.experiments import (
    SCORES,
    comparison_table,
    experiment_figure,
    season_figure,
    verdicts,
    write_experiment,
)

FIGURES = (0.5, 0.6, 0.7, 1.0, 0.8, 0.9, 2.0, 0.1, 0.03, 5.0, -1.0)
RECIPES = Path(experiments.__file__).parent / "recipes"


def draws() -> list[Row]:
    """Two draws of two sizes for both networks, every score different."""
    rng = np.random.default_rng(0)
    return [
        Row("r", variant.name, size, repeat, "test sites", *rng.uniform(0.1, 0.9, len(SCORES)).tolist())
        for size in (2, 10)
        for repeat in range(2)
        for variant in (KGML, PURE_ML)
    ]


def test_the_table_compares_the_networks_by_their_means_over_all_draws() -> None:
    rows = draws()
    table = comparison_table(rows).set_index(["samples", "variant"])
    assert table["runs"].tolist() == [2] * 4
    for variant in (KGML, PURE_ML):
        for size in (2, 10):
            chosen = [row for row in rows if (row.variant, row.samples) == (variant.name, size)]
            for name in SCORES:
                mean = sum(getattr(row, name) for row in chosen) / 2
                assert table.loc[(size, variant.name), name] == pytest.approx(mean)
            # Of two values, with 1 degree of freedom: half their distance times the quantile of Student's t, 12.706.
            for name in ("nee_r2", "imbalance_annual"):
                half = abs(getattr(chosen[0], name) - getattr(chosen[1], name)) / 2 * 12.7062
                assert table.loc[(size, variant.name), f"{name}_ci95"] == pytest.approx(half, rel=1e-4)


def test_a_sentence_for_each_size_gives_the_gain_from_knowledge() -> None:
    table = comparison_table(draws())
    lines = list(verdicts(table))
    assert [line.split(":")[0] for line in lines] == ["test sites, 2 sites", "test sites, 10 sites"]
    means = table[table["samples"] == 2].set_index("variant")
    gain = means.loc[KGML.name, "reco_r2"] - means.loc[PURE_ML.name, "reco_r2"]
    assert f"Reco {gain:+.3f}" in lines[0]
    balance = means["imbalance_annual"]
    assert f"annual {balance[KGML.name]:.3g} against {balance[PURE_ML.name]:.3g} g C m-2 yr-1" in lines[0]
    assert not list(verdicts(table[table["variant"] == KGML.name]))


def test_an_experiment_leaves_one_table_as_csv_and_html_with_its_figure(tmp_path: Path) -> None:
    table, figure, page = write_experiment("sample-size", draws(), tmp_path)
    assert [path.name for path in (table, figure, page)] == [
        "sample-size-table.csv",
        "sample-size.png",
        "sample-size.html",
    ]
    pd.testing.assert_frame_equal(pd.read_csv(table), comparison_table(draws()), rtol=1e-5)
    text = page.read_text()
    assert re.findall(r"<td>(KGML|pure ML)</td>", text) == ["KGML", "pure ML"] * 2
    assert set(map(html.escape, SCORES.values())) <= set(re.findall(r"<th>(.*?)</th>", text))
    assert re.findall(r'(?:src|href)="(.{14})', text) == ["data:image/png"]


def test_rows_survive_their_file_and_other_columns_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", draws())
    assert list(read_rows(tmp_path / "a.csv", Row)) == draws()
    old = (tmp_path / "a.csv").read_text().replace("nee_rmse", "nee_error", 1)
    (tmp_path / "a.csv").write_text(old)
    with pytest.raises(RecipeError, match=r"a\.csv does not have the columns recipe, .*delete it"):
        list(read_rows(tmp_path / "a.csv", Row))


@pytest.mark.parametrize(("samples", "lines"), [((1, 2, 4), True), ((4,), False)])
def test_sample_sizes_are_drawn_as_curves_and_single_ones_as_bars(samples: tuple[int, ...], lines: bool) -> None:
    rows = [
        Row("r", variant, size, 0, test, *FIGURES)
        for variant in ("ML", "ML + GPP")
        for size in samples
        for test in (("test sites",) if lines else ("extreme years", "ordinary years"))
    ]
    axes = experiment_figure(rows).axes[0]
    assert bool(axes.lines) is lines
    assert len(axes.patches) == (0 if lines else 4)


def test_single_runs_have_no_interval() -> None:
    table = comparison_table([row for row in draws() if row.repeat == 0])
    assert table["reco_r2_ci95"].isna().all()


def courses() -> list[CourseDay]:
    """A flux equal to the day of the year; networks with i parts and draw j add 10 i + j."""
    return [
        CourseDay("r", variant.name, 2, draw, output, day, predicted=day + 10.0 * i + draw, truth=day)
        for i, variant in enumerate(INGREDIENTS)
        for draw in range(3)
        for output in ("reco", "nee")
        for day in range(1, 366)
    ]


def test_the_courses_of_winter_and_summer_are_means_over_draws_with_december_first() -> None:
    drawing = season_figure(courses())
    assert len(drawing.axes) == 4
    winter, summer = drawing.axes[:2]
    lines = {line.get_label(): line for line in winter.lines}
    assert list(lines) == [*(variant.name for variant in INGREDIENTS), "truth"]
    x, y = (np.asarray(values, float) for values in lines["ML + GPP"].get_data())
    assert x.tolist() == list(range(-30, 60))
    np.testing.assert_allclose(y, np.where(x < 1, x + 365, x) + 11)  # 10 for one part, 1 for the mean draw
    assert np.asarray(summer.lines[-1].get_xdata(), float).tolist() == list(range(152, 244))


def test_an_ablation_with_courses_leaves_their_figure(tmp_path: Path) -> None:
    write_rows(tmp_path / "ablation-courses.csv", courses())
    written = write_experiment("ablation", draws(), tmp_path)
    assert written[-1].name == "ablation-seasons.png"
    assert (tmp_path / "ablation.html").read_text().count("data:image/png") == 2
