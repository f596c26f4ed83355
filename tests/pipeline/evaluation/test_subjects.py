"""Evaluation of a checkpoint: subjects, tables and a page that needs no other file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from model.checkpoint import Checkpoint
from model.data.published_layout import write_published_layout
from model.data.records import DAYS, SiteSequences, TowerSet
from model.data.sites import normalised_inputs, synthetic_data
from model.evaluation.responses import ResponseCurve
from model.evaluation.scores import Carbon, score
from model.features import FEATURE_NAMES, FEATURES, training_range
from model.recipe.training import DataRecipe
from pipeline.cli.main import app
from pipeline.errors import UserError
from pipeline.evaluation.published import PublishedScore, read_published
from pipeline.evaluation.report import (
    Report,
    beside_published,
    response_table,
    score_table,
    write_report,
)
from pipeline.evaluation.subjects import (
    Result,
    Subject,
    evaluate_subject,
    of_sequences,
    of_tower,
    read_subject,
    training_subject,
)

VOID = {"meta", "img", "br", "hr", "link"}


@pytest.fixture(scope="module")
def sequences() -> SiteSequences:
    rng = np.random.default_rng(0)
    x = np.empty((2, 2, DAYS, len(FEATURES)), np.float32)
    for i in range(len(FEATURES)):
        low, high = training_range(i)
        x[..., i] = rng.uniform(low, high, x.shape[:3])
    x[..., FEATURE_NAMES.index("Crop_Type")] = np.array([[1, 5], [5, 1]])[..., None]
    ra, rh = -0.5 * x[..., FEATURE_NAMES.index("GPP")], -rng.uniform(0.5, 1.5, x.shape[:3])
    fluxes = np.stack([ra, rh, -(x[..., FEATURE_NAMES.index("GPP")] + ra + rh)], -1).astype(np.float32)
    grain = rng.uniform(100, 300, (2, 2)).astype(np.float32)
    return SiteSequences(x, fluxes, grain, np.array([2001, 2002]), ("17001", "17003"), "synthetic: dice <i> & more")


@pytest.fixture(scope="module")
def tower(sequences: SiteSequences) -> TowerSet:
    reco = -sequences.fluxes_NYT3[0, :, :, :2].sum(-1)
    mask = np.ones((2, DAYS), bool)
    mask[0, :20] = False
    zero = np.where(mask, reco, 0)
    nee = np.where(mask, sequences.fluxes_NYT3[0, ..., 2], 0)
    return TowerSet("US-X", sequences.x_NYTF[0], zero, nee, mask, sequences.years, "a tower of dice")


@pytest.fixture(scope="module")
def network() -> Checkpoint:
    return Checkpoint.load(Path(__file__).parents[3] / "model" / "weights" / "agcarbon.safetensors")


@pytest.fixture(scope="module")
def results(sequences: SiteSequences, tower: TowerSet, network: Checkpoint) -> tuple[Result, ...]:
    subjects: list[Subject] = [of_sequences(sequences, name="dice", kind="synthetic"), of_tower(tower)]
    return tuple(evaluate_subject(network, subject) for subject in subjects)


CURVE = ResponseCurve("GPP", (0.0, 10.0, 20.0), (0.0, 4.0, 8.0), (0.5, 0.7, 0.6), (10.0, 200.0, 300.0))


@pytest.fixture
def report(results: tuple[Result, ...], network: Checkpoint) -> Report:
    first = replace(results[0], evaluation=replace(results[0].evaluation, responses=(CURVE,)))
    return Report(network, "a<b>.safetensors", (first, results[1]), read_published())


def test_scores_are_those_of_the_predictions_and_say_their_unit(results: tuple[Result, ...]) -> None:
    table = score_table(results).set_index(["data", "model", "output", "period", "by", "group"])
    ours = results[0]
    row = table.loc[("dice", "network", "rh", "daily", "crop", "soybean")]
    soybean = np.array([[False, True], [True, False]])
    expected = score(ours.predicted.rh_NYT[soybean], ours.subject.observed.rh_NYT[soybean])
    assert (row["n"], row["rmse"], row["unit"]) == (2 * DAYS, pytest.approx(expected.rmse), "g C m-2 d-1")
    assert table.loc[("dice", "network", "yield", "annual", "pooled", "all"), "n"] == 4
    assert table.loc[("US-X", "network", "reco", "daily", "pooled", "all"), "n"] == 2 * DAYS - 20
    assert not [key for key in table.index if key[0] == "US-X" and key[2] in ("ra", "rh", "yield", "dsoc")]


def test_a_tower_stands_beside_nulls_on_the_same_days(results: tuple[Result, ...]) -> None:
    table = score_table(results)
    nulls = table[(table["data"] == "US-X") & (table["model"] != "network") & (table["period"] == "daily")]
    assert {
        "mean seasonal cycle",
        "mean seasonal Reco - GPP",
        "network, on the days of the nulls",
    } == set(nulls["model"])
    assert nulls["n"].nunique() == 1
    assert {result.subject.kind for result in results if result.nulls} == {"tower"}


def test_leap_years_have_no_last_day(tower: TowerSet) -> None:
    leap = of_tower(replace(tower, years=np.array([2003, 2004])))
    assert len(leap.dates) == 2 * DAYS
    assert pd.Timestamp("2004-12-31") not in leap.dates
    assert pd.Timestamp("2004-12-30") in leap.dates


def test_published_scores_stand_beside_ours_of_the_same_output_and_period(results: tuple[Result, ...]) -> None:
    table = beside_published(results, read_published())
    synthetic = table[table["data"] == "dice"]
    assert set(synthetic["output"]) == {"yield", "ra", "rh", "nee"}
    ours = results[0].evaluation.row("rh", "daily")
    assert ours is not None
    rows = synthetic[(synthetic["output"] == "rh") & (synthetic["period"] == "daily")]
    assert rows["this checkpoint"].str.startswith(f"R² {ours.score.r2:.3f}").all()
    assert "R² 0.97" in set(rows["published"])
    assert set(table.loc[table["data"] == "US-X", "output"]) == {"reco", "nee"}


def test_published_figures_name_known_outputs_inputs_and_levels_of_theirs() -> None:
    published = read_published()
    assert {one.output for one in published.scores} <= {"ra", "rh", "reco", "nee", "yield"}
    assert all(one.r2 is not None or one.rmse is not None for one in published.scores)
    assert all(one.input in FEATURE_NAMES and one.output in ("ra", "rh") for one in published.responses)
    assert all(len(one.levels) == len(one.values) > 1 for one in published.responses)
    assert min(value for one in published.responses for value in one.values) >= 0
    assert str(PublishedScore("tower", "nee", "daily", "w", r2=0.59, r2_to=0.88)) == "R² 0.59 to 0.88"


def test_curves_are_a_table() -> None:
    assert response_table([CURVE])["rh_gc_m2_d"].tolist() == [0.5, 0.7, 0.6]


class Tags(HTMLParser):
    """Collects open tags, attributes and text; a tag that closes another is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_whole_escaped_and_needs_no_other_file(report: Report, tmp_path: Path) -> None:
    written = write_report(report, tmp_path)
    text = (tmp_path / "index.html").read_text()
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    assert len(tags.sources) == 4
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in tags.sources)
    assert "http" not in re.sub('src="data:[^"]*"', "", text)  # the letters of a picture may spell anything
    assert "a<b>.safetensors" in "".join(tags.text)
    assert "synthetic: dice <i> & more." in "".join(tags.text)
    assert {path.name for path in written} == {
        "index.html",
        "scores.csv",
        "responses.csv",
        "evaluation.json",
        "dice.png",
        "US-X.png",
        "responses.png",
        "responses_yield.png",
    }
    assert len(pd.read_csv(tmp_path / "scores.csv")) == len(score_table(report.results))
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["subjects"][0]["evaluation"]["balance"]["daily"] == report.results[0].evaluation.balance.daily
    assert not re.search(r"NaN|Infinity", (tmp_path / "evaluation.json").read_text())


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing .*FLX_US-Ne1.*mead-weather, .*mesoil; .*--data"):
        read_subject("tower", data=tmp_path)
    with pytest.raises(UserError, match=r"ecosys_USNe3_daily\.csv"):
        read_subject("ecosys", data=tmp_path)
    with pytest.raises(UserError, match="'nowhere' is no file"):
        read_subject("nowhere", data=tmp_path)


def test_simulated_sites_are_the_number_asked_for_and_close_their_balance() -> None:
    subject = read_subject("synthetic", data=Path(), sites=1)
    observed: Carbon = subject.observed
    assert subject.x_NYTF.shape == (1, 18, DAYS, len(FEATURES))
    np.testing.assert_allclose(observed.gpp_NYT - observed.reco_NYT, -observed.nee_NYT, atol=1e-3)
    assert "of which no network was trained" in " ".join(subject.notes)


def test_the_command_scores_a_file_of_sequences(sequences: SiteSequences, tmp_path: Path) -> None:
    write_published_layout(tmp_path / "dice.safetensors", sequences)
    options = ["--on", str(tmp_path / "dice.safetensors"), "--no-curves", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["evaluate", *options])
    assert result.exit_code == 0, result.output
    assert "dice: yield R²" in result.output
    assert (tmp_path / "out" / "index.html").exists()
    assert not (tmp_path / "out" / "responses.csv").exists()


def test_checks_that_fail_are_told_as_json_and_by_the_exit_code(sequences: SiteSequences, tmp_path: Path) -> None:
    nothing_grows = sequences.x_NYTF.copy()
    nothing_grows[..., FEATURE_NAMES.index("GPP")] = 0
    fluxes = sequences.fluxes_NYT3.copy()
    fluxes[..., 2] = -fluxes[..., :2].sum(-1)
    dead = replace(sequences, x_NYTF=nothing_grows, fluxes_NYT3=fluxes, yield_NY=np.zeros_like(sequences.yield_NY))
    write_published_layout(tmp_path / "dead.safetensors", dead)
    options = ["--on", str(tmp_path / "dead.safetensors"), "--no-curves", "--json", "-o", str(tmp_path / "out")]
    told = CliRunner().invoke(app, ["evaluate", *options])
    assert told.exit_code == 0, told.output
    record = json.loads(told.stdout)
    assert [(one["check"], one["holds"]) for one in record["verdicts"]] == [("dead: 0 < yield < 0.5 GPP", False)]
    bounds = record["subjects"][0]["evaluation"]["yield_bounds"]
    assert bounds["negative"] + bounds["above"] == bounds["count"] == 4
    assert CliRunner().invoke(app, ["evaluate", *options, "--check"]).exit_code == 1


def test_the_sites_of_training_are_those_of_the_recipe_in_the_record(network: Checkpoint) -> None:
    data = {"sites": 2, "held_out_sites": 1, "first_year": 2003, "last_year": 2005, "held_out_years": 1}
    subject = training_subject(replace(network, record={"recipe": {"seed": 5, "data": data}}))
    expected = synthetic_data(DataRecipe(**data), seed=5)
    trained = normalised_inputs(subject.x_NYTF, scalers=expected.scalers)[:2]
    assert torch.equal(trained, expected.training.x_NYTF)
    with pytest.raises(UserError, match="holds no recipe"):
        training_subject(replace(network, record={}))


@pytest.mark.realdata
def test_the_real_tower_and_the_real_run_are_read_and_scored(realdata: Path, network: Checkpoint) -> None:
    tower = evaluate_subject(network, read_subject("tower", data=realdata))
    row = tower.evaluation.row("reco", "daily")
    assert row is not None
    assert row.score.count == 1252
    assert row.score.r2 is not None
    assert row.score.r2 > 0.8
    run = read_subject("ecosys", data=realdata)
    assert run.observed.rh_NYT.mean() > 0
    assert run.observed.yield_NY.shape == (2, 6)
