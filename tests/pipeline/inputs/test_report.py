"""The report on the inputs store agrees with xarray, and flags absent and implausible inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.console import json_text
from pipeline.errors import UserError
from pipeline.grid.domain import domain_of
from pipeline.inputs.layout import create_group
from pipeline.inputs.report import InputsReport, Wanted, survey_faults
from pipeline.job import Job
from pipeline.storage import repository as store
from pipeline.storage.repository import Array
from tests.helpers import small_archives
from tests.helpers.commits import transaction
from tests.helpers.input_reports import change, filled_with, of, printed, survey_stores


def test_complete_and_plausible_inputs_are_sound(report: InputsReport) -> None:
    assert [fault for survey in report.surveys for fault in survey_faults(survey)] == []
    assert report.sound
    assert [survey.group for survey in report.surveys] == [
        *(f"{product}/{year}" for product in ("climate", "gpp", "crop") for year in (2011, 2012)),
        "soil",
    ]
    assert set(report.ingested_at) == {survey.group for survey in report.surveys}


def test_years_that_are_not_ingested_are_named_by_product(job: Job) -> None:
    report = survey_stores(job, Wanted((2012, 2013, 2014), ("gpp", "soil")))
    assert report.absent == {"gpp": (2013, 2014)}
    assert not report.sound
    assert "gpp: 2013, 2014 not ingested" in printed(report)


def test_the_uncertainty_of_gpp_is_reported_where_it_is_and_never_absent(copied: Job) -> None:
    repository = store.open_existing(copied.run_file.stores.inputs, made_by="test")
    with transaction(repository, "uncertainty of one year") as root:
        create_group(root, "gpp_uncertainty", 2012)
        attributes = store.subgroup(root, "gpp/2012").attrs.asdict()
        store.subgroup(root, "gpp_uncertainty/2012").attrs.update(
            {name: attributes[name] for name in ("digests", "ingest")}
        )
        store.array(root, "gpp_uncertainty/2012/gpp_uncertainty")[...] = 1.5
        store.array(root, "gpp_uncertainty/2012/uncertainty_days")[...] = 366
    report = survey_stores(copied, Wanted((2011, 2012), ("gpp",)))
    assert [survey.group for survey in report.surveys] == ["gpp/2011", "gpp/2012", "gpp_uncertainty/2012"]
    assert of(report, "gpp_uncertainty/2012").found.distributions["gpp_uncertainty"].mean == 1.5
    assert report.sound
    assert "gpp_uncertainty [g m-2 d-1]" in printed(report)


def test_an_unknown_product_is_refused() -> None:
    with pytest.raises(UserError, match="'npp': the products are climate, gpp, crop, soil"):
        Wanted((2012,), ("gpp", "npp"))


def test_a_planted_value_is_flagged_with_value_limit_share_and_cause(copied: Job) -> None:
    def too_hot(array: Array) -> None:
        array[100, 0, 1:3] = 301.5

    change(copied, "climate/2011/tmax_air", too_hot)
    report = survey_stores(copied, Wanted((2011, 2012), ("climate",)))
    faults = survey_faults(of(report, "climate/2011"))
    assert any("maximum 301.5 is above 55 degC" in fault and "2 of 5,475 values" in fault for fault in faults)
    assert any("kelvin" in fault for fault in faults)
    assert survey_faults(of(report, "climate/2012")) == []
    assert not report.sound
    assert "implausible: climate/2011: tmax_air" in printed(report)


def test_a_wrong_unit_within_the_limits_is_flagged_by_its_mean(copied: Job) -> None:
    def metres_per_second(array: Array) -> None:
        array[...] = np.asarray(array[...]) / 86.4

    change(copied, "climate/2012/wind", metres_per_second)
    (fault,) = survey_faults(of(survey_stores(copied, Wanted((2012,), ("climate",))), "climate/2012"))
    assert "mean 5 is outside 60 to 900 km d-1" in fault
    assert "m s-1 where km d-1 are expected" in fault


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("crop/2011/corn_fraction", 0.9, "corn_and_soybean: maximum"),
        ("soil/twp", 0.5, "available_water: minimum"),
        ("soil/tsilt", 950.0, "sand_and_silt: maximum"),
        ("gpp/2011/gpp", -2.0, "gpp: minimum -2 is below 0"),
    ],
)
def test_errors_that_no_single_variable_shows_are_flagged(copied: Job, path: str, value: float, fault: str) -> None:
    change(copied, path, filled_with(value))
    group, _, _ = path.rpartition("/")
    survey = of(survey_stores(copied, Wanted((2011,))), group)
    assert any(found.startswith(fault) for found in survey_faults(survey))


def test_a_product_without_any_data_is_flagged(copied: Job) -> None:
    change(copied, "gpp/2012/gpp", filled_with(np.nan))
    survey = of(survey_stores(copied, Wanted((2012,), ("gpp",))), "gpp/2012")
    assert survey.coverage == 0
    assert "no cell has data" in survey_faults(survey)[0]


def test_tiles_that_are_not_ingested_are_named(copied: Job) -> None:
    repository = store.open_existing(copied.run_file.stores.inputs, made_by="test")
    lost = domain_of(copied.region).tiles[1].name
    with transaction(repository, "lose a tile") as root:
        group = store.subgroup(root, "crop/2011")
        digests = store.attribute(group, "digests")
        del digests[lost]
        group.attrs["digests"] = digests
    report = survey_stores(copied, Wanted((2011,), ("crop",)))
    assert of(report, "crop/2011").absent_tiles == (lost,)
    assert not report.sound
    assert f"1 tiles of the region are not ingested: {lost}" in printed(report)


def test_json_has_the_same_keys_for_every_product_year(report: InputsReport) -> None:
    found = json.loads(json_text(report.as_json()))
    assert list(found) == ["store", "snapshot", "region", "sound", "synthetic", "not_ingested", "product_years"]
    product_years = found["product_years"]
    assert {tuple(row) for row in product_years} == {
        (
            "product", "year", "ingested_at", "files", "size_bytes", "digest", "cells", "share_read", "share_stored",
            "coverage",
            "missing_share", "tiles_not_ingested", "counts", "notes", "beyond_training_years", "faults", "variables",
        )
    }  # fmt: skip
    assert {tuple(variable) for row in product_years for variable in row["variables"]} == {
        (
            "name", "units", "values", "missing", "minimum", "percentile_1", "mean", "percentile_99", "maximum",
            "plausible", "plausible_mean", "outside_plausible", "trained_on", "outside_training", "fault",
        )
    }  # fmt: skip
    gpp = next(row for row in product_years if (row["product"], row["year"]) == ("gpp", 2011))
    assert gpp["files"] == 2 * len(small_archives.DAYS)
    assert gpp["counts"]["dormant days set to 0"] > 0
    assert {row["year"] for row in product_years if row["product"] == "soil"} == {None}


def test_json_says_null_where_there_is_no_number(copied: Job) -> None:
    change(copied, "climate/2012/wind", filled_with(np.nan))
    found = json.loads(json_text(survey_stores(copied, Wanted((2012,), ("climate",))).as_json()))
    wind = next(row for row in found["product_years"][0]["variables"] if row["name"] == "wind")
    assert (wind["minimum"], wind["mean"], wind["percentile_99"], wind["values"]) == (None, None, None, 0)


def test_archives_that_call_themselves_synthetic_are_named(copied: Job) -> None:
    for folder in (copied.run_file.archives.slope, copied.run_file.archives.crop):
        folder.mkdir()
    (copied.run_file.archives.slope / "README.txt").write_text("Synthetic archive in the format of SLOPE\n")
    (copied.run_file.archives.crop / "README.txt").write_text("Downloaded in May\n")
    report = survey_stores(copied, Wanted((2011,)))
    assert report.synthetic == ("gpp",)
    assert printed(report).startswith("synthetic, without any observation: gpp")


def test_a_store_of_another_region_is_refused(copied: Job) -> None:
    region = Path(copied.run_file.region)
    region.write_text(region.read_text().replace("tile_cells = 8", "tile_cells = 16"))
    with pytest.raises(UserError, match="inputs of another region"):
        survey_stores(Job.open(copied.path), Wanted((2011,)))
