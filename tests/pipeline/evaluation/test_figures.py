"""Figures of an evaluation: one row per observed output, one panel per input."""

from __future__ import annotations

import numpy as np

from model.evaluation.responses import ResponseCurve
from pipeline.evaluation.figures import agreement_figure, observed_outputs, response_figure
from pipeline.evaluation.published import PublishedResponse
from pipeline.evaluation.subjects import Result

CURVE = ResponseCurve("GPP", (0.0, 10.0, 20.0), (0.0, 4.0, 8.0), (0.5, 0.7, 0.6), (10.0, 200.0, 300.0))


def test_each_observed_output_has_a_scatter_plot_and_an_annual_cycle(results: tuple[Result, ...]) -> None:
    sites, tower = results
    assert observed_outputs(sites) == ["ra", "rh", "reco", "nee", "yield"]
    assert observed_outputs(tower) == ["reco", "nee"]
    panels = agreement_figure(tower).axes
    labels = [axes.get_xlabel().split(" [")[0] for axes in panels]
    assert labels == ["Reco observed", "day of year", "NEE observed", "day of year"]
    panels = agreement_figure(sites).axes
    assert {axes.get_xlabel().split(" ")[1] for axes in panels[::2]} == {"simulated"}
    legend = panels[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["simulated", "predicted"]


def test_the_annual_cycle_is_the_mean_over_the_observed_site_years(results: tuple[Result, ...]) -> None:
    tower = results[1]
    lines = {line.get_label(): line.get_ydata() for line in agreement_figure(tower).axes[1].lines}
    observed, predicted = lines["observed"], lines["predicted"]
    truth = tower.subject.observed.reco_NYT[0]
    assert np.isnan(truth[0, :20]).all()
    np.testing.assert_allclose(observed, np.nanmean(truth, axis=0), rtol=1e-6)
    np.testing.assert_allclose(predicted[:20], tower.predicted.reco_NYT[0, 1, :20], rtol=1e-6)


def test_published_points_lie_on_the_panel_of_their_input_and_output() -> None:
    published = [
        PublishedResponse("GPP", "ra", (0.0, 30.0), (0.0, 11.2)),
        PublishedResponse("TSOC", "rh", (7.0, 110.0), (0.88, 1.44)),
    ]
    (panel,) = response_figure([CURVE], outputs=("ra", "rh"), published=published).axes
    assert [line.get_label() for line in panel.lines[:2]] == ["Ra", "Rh"]
    assert [tuple(line.get_ydata()) for line in panel.lines[2:]] == [(0.0, 11.2)]
    (yields,) = response_figure([CURVE], outputs=("grain",)).axes
    assert tuple(yields.lines[0].get_ydata()) == CURVE.grain
