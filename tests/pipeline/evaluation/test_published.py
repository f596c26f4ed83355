"""The published figures as they lie in the package."""

from __future__ import annotations

from model.features import FEATURE_NAMES
from pipeline.evaluation.published import PublishedScore, read_published


def test_published_figures_name_known_outputs_inputs_and_levels_of_theirs() -> None:
    published = read_published()
    assert {one.output for one in published.scores} <= {"ra", "rh", "reco", "nee", "yield"}
    assert all(one.r2 is not None or one.rmse is not None for one in published.scores)
    assert all(one.input in FEATURE_NAMES and one.output in ("ra", "rh") for one in published.responses)
    assert all(len(one.levels) == len(one.values) > 1 for one in published.responses)
    assert min(value for one in published.responses for value in one.values) >= 0
    assert str(PublishedScore("tower", "nee", "daily", "w", r2=0.59, r2_to=0.88)) == "R² 0.59 to 0.88"
