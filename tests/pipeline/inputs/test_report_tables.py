"""Tables of the report on the inputs store."""

from __future__ import annotations

import json
from dataclasses import replace

from model.features import FEATURE_NAMES, YEAR
from model.ranges import PUBLISHED_RANGES, Range, TrainingRanges
from pipeline.console import json_text
from pipeline.inputs.layout import create_group
from pipeline.inputs.report import InputsReport, Wanted
from pipeline.job import Job
from pipeline.storage import repository as store
from tests.helpers.commits import transaction
from tests.helpers.input_reports import printed, survey_stores


def test_the_tables_keep_all_columns_on_a_narrow_terminal(report: InputsReport) -> None:
    text = printed(report, width=40)
    assert "…" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("tmax_air [degC]")]
    low, high = PUBLISHED_RANGES.inputs[1]
    assert "-50 to 55" in line
    assert f"{low:.3g} to {high:.3g}" in line
    assert text.splitlines()[-1] == "all requested inputs are ingested and plausible"


def test_notes_are_printed_as_they_are(report: InputsReport) -> None:
    first = report.surveys[0]
    noted = replace(first, record=replace(first.record, notes={"settings": "those of [crop]"}))
    text = printed(InputsReport(**(vars(report) | {"surveys": (noted,)})))
    assert "climate/2011: settings: those of [crop]" in text


def test_by_year_shows_each_year_of_its_own(report: InputsReport) -> None:
    together, each = printed(report), printed(report, by_year=True)
    assert together.count("tmax_air [degC]") == 1
    assert each.count("tmax_air [degC]") == 2
    assert each.count("tsoc [g kg-1]") == 1


def test_a_year_outside_the_training_is_named(copied: Job) -> None:
    repository = store.open_existing(copied.run_file.stores.inputs, made_by="test")
    with transaction(repository, "a later year, with nothing in it") as root:
        create_group(root, "crop", 2020)
        attributes = store.subgroup(root, "crop/2012").attrs.asdict()
        store.subgroup(root, "crop/2020").attrs.update(attributes)
    report = survey_stores(copied, Wanted((2012, 2020), ("crop",)))
    assert "outside the network's training years: 2020" in printed(report)


def test_inputs_are_compared_with_the_ranges_of_the_checkpoint_at_hand(job: Job) -> None:
    inputs = list(PUBLISHED_RANGES.inputs)
    inputs[FEATURE_NAMES.index("TMAX_AIR")], inputs[YEAR] = Range(-11.0, 22.0), Range(2012.0, 2012.0)
    report = survey_stores(job, Wanted((2011, 2012), ("climate",), ranges=TrainingRanges(tuple(inputs))))
    (line,) = [line for line in printed(report).splitlines() if line.startswith("tmax_air [degC]")]
    assert "-11 to 22" in line
    assert "outside the network's training years: 2011\n" in printed(report)
    years = json.loads(json_text(report.as_json()))["product_years"]
    assert [year["beyond_training_years"] for year in years] == [True, False]
    assert [each["trained_on"] for each in years[0]["variables"] if each["name"] == "tmax_air"] == [[-11.0, 22.0]]
