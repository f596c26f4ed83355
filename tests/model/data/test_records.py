from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from model.data.published_layout import DAILY_COLUMNS, GRAIN_DAY, read_published_layout, write_published_layout
from model.data.records import CountySet, DataSetError, SiteSequences, TowerSet
from model.data.sites import divide, simulate_sites
from model.data.splits import HeldOut, split_counties, split_sites, split_years
from model.features import CORN, CROP_TYPE, FEATURES, GPP, PUBLISHED_FEATURE_SCALERS, SOIL, SOYBEAN, YEAR

SITES, YEARS = 3, 2


@pytest.fixture
def sequences() -> SiteSequences:
    rng = np.random.default_rng(3)
    mean, std = np.array(PUBLISHED_FEATURE_SCALERS).T
    x = rng.normal(mean, std / 4, (SITES, YEARS, 365, len(FEATURES))).astype(np.float32)
    x[..., CROP_TYPE] = rng.choice([CORN, SOYBEAN], (SITES, YEARS))[..., None]
    x[..., YEAR] = np.array([2004, 2005])[:, None]
    x[..., SOIL] = x[:, :1, :1, SOIL]
    respiration = -rng.gamma(2, 1.5, (SITES, YEARS, 365, 2)).astype(np.float32)
    nee = -(x[..., GPP] + respiration.sum(-1))
    grain = rng.uniform(80, 450, (SITES, YEARS)).astype(np.float32)
    fluxes = np.concatenate([respiration, nee[..., None]], -1)
    return SiteSequences(x, fluxes, grain, np.arange(2004, 2006), ("17019", "17019", "19001"), "synthetic: noise")


def published(sequences: SiteSequences) -> dict[str, Any]:
    """The arrays of a published file, made straight from their description: day by day, then site by site."""
    days = YEARS * 365
    grain = np.zeros((SITES, YEARS, 365), np.float32)  # as in ecosys: it is there around harvest and on day 363
    grain[..., GRAIN_DAY] = sequences.yield_NY
    columns = np.concatenate([sequences.x_NYTF[..., :9], sequences.fluxes_NYT3[..., :2], grain[..., None]], -1)
    scaler = np.stack([columns.mean((0, 1, 2)), columns.std((0, 1, 2))], -1).astype(np.float64)
    soil = sequences.x_NYTF[:, 0, 0, SOIL]
    soil_scaler = np.stack([soil.mean(0), soil.std(0)], -1).astype(np.float64)
    z = (columns - scaler[:, 0]) / scaler[:, 1]
    x = torch.tensor(
        np.array([[z[n, t // 365, t % 365] for n in range(SITES)] for t in range(days)]), dtype=torch.float
    )
    return {
        "X": x,
        "X_scaler": scaler,
        "Xsp": torch.tensor((soil - soil_scaler[:, 0]) / soil_scaler[:, 1], dtype=torch.float),
        "Xsp_scaler": soil_scaler,
        "FIPS_ref": np.array([17019, 17019, 19001]),
    }


def assert_same(found: SiteSequences, expected: SiteSequences) -> None:
    np.testing.assert_allclose(found.x_NYTF, expected.x_NYTF, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.fluxes_NYT3, expected.fluxes_NYT3, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.yield_NY, expected.yield_NY, rtol=1e-5)
    np.testing.assert_array_equal(found.crop_NY, expected.crop_NY)
    np.testing.assert_array_equal(found.years, expected.years)
    assert found.sites == expected.sites


def test_sequences_return_from_our_file_as_they_were(tmp_path: Path, sequences: SiteSequences) -> None:
    write_published_layout(tmp_path / "a.safetensors", sequences)
    found = read_published_layout(tmp_path / "a.safetensors")
    assert_same(found, sequences)
    assert found.origin == sequences.origin
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_sites_keep_names_that_are_no_county_codes(tmp_path: Path, sequences: SiteSequences) -> None:
    named = replace(sequences, sites=("US-Ne1", "a, b", "00007"))
    write_published_layout(tmp_path / "a.safetensors", named)
    assert read_published_layout(tmp_path / "a.safetensors").sites == named.sites


@pytest.mark.parametrize("name", ["a.sav", "a.pt"])
def test_published_pickles_of_tensors_and_arrays_are_read(tmp_path: Path, sequences: SiteSequences, name: str) -> None:
    torch.save(published(sequences), tmp_path / name, _use_new_zipfile_serialization=name == "a.pt")
    found = read_published_layout(tmp_path / name, first_year=2004)
    assert_same(found, sequences)
    assert found.origin == f"simulations of {name}"


def test_the_balance_of_a_published_file_closes_by_nee(tmp_path: Path, sequences: SiteSequences) -> None:
    torch.save(published(sequences), tmp_path / "a.pt")
    found = read_published_layout(tmp_path / "a.pt")
    np.testing.assert_allclose(found.x_NYTF[..., GPP] + found.fluxes_NYT3.sum(-1), 0, atol=1e-5)
    assert found.years.tolist() == [2001, 2002]
    assert np.all(found.x_NYTF[:, 1, :, YEAR] == 2002)


class Opener:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_a_pickle_that_runs_code_is_refused_before_it_does(
    tmp_path: Path, sequences: SiteSequences, save: Callable[[Any, Path], None]
) -> None:
    proof = tmp_path / "proof"
    save(published(sequences) | {"Y": np.array([Opener(proof)], dtype=object)}, tmp_path / "bad.sav")
    with pytest.raises(DataSetError, match=r"bad\.sav: refused"):
        read_published_layout(tmp_path / "bad.sav")
    assert not proof.exists()


def cut(raw: dict[str, Any], name: str, index: Any) -> dict[str, Any]:
    return raw | {name: raw[name][index]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: {"X": raw["X"]}, "no X_scaler, Xsp, Xsp_scaler, FIPS_ref"),
        (lambda raw: cut(raw, "X", slice(364)), r"X has shape \(364, 3, 12\)"),
        (lambda raw: cut(raw, "X", (..., slice(11))), r"X has shape \(730, 3, 11\)"),
        (lambda raw: cut(raw, "Xsp", slice(2)), r"Xsp has shape \(2, 9\), not \(3, 9\)"),
        (lambda raw: cut(raw, "FIPS_ref", slice(2)), r"FIPS_ref has shape \(2,\)"),
        (lambda raw: cut(raw, "X_scaler", slice(9)), r"X_scaler has shape \(9, 2\), not \(12, 2\)"),
        (lambda raw: raw | {"X_scaler": raw["X_scaler"] * [1, 0]}, "deviation not above 0"),
        (lambda raw: raw | {"X": "many"}, "X is a str without numbers"),
        (lambda raw: raw | {"X_scaler": raw["X_scaler"] + 1}, "Crop_Type holds"),
        (lambda raw: raw | {"Xsp": raw["Xsp"] * float("nan")}, "inputs .*TBKDS.* not finite"),
        (lambda raw: raw | {"FIPS_ref": [None] * 3}, "FIPS_ref must be a list of county codes"),
        (
            lambda raw: raw | {"X": torch.where(torch.arange(12) == 10, torch.nan, raw["X"])},
            "X holds values of Rh",
        ),
        (
            lambda raw: raw | {"X_scaler": np.where(np.eye(12, 2, -9), 3.0, raw["X_scaler"])},
            "Ra is positive on average",
        ),
        (lambda raw: list(raw.values()), "holds a list"),
    ],
)
def test_a_file_of_another_shape_is_refused_naming_what_differs(
    tmp_path: Path, sequences: SiteSequences, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    torch.save(change(published(sequences)), tmp_path / "a.sav")
    with pytest.raises(DataSetError, match=f"a.sav: .*{message}"):
        read_published_layout(tmp_path / "a.sav")


def test_absent_truncated_and_foreign_files_are_refused(tmp_path: Path, sequences: SiteSequences) -> None:
    with pytest.raises(DataSetError, match="no such file"):
        read_published_layout(tmp_path / "absent.sav")
    write_published_layout(tmp_path / "a.safetensors", sequences)
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[:-100])
    with pytest.raises(DataSetError, match="not readable"):
        read_published_layout(tmp_path / "a.safetensors")
    torch.save(published(sequences), tmp_path / "a.sav")
    (tmp_path / "a.sav").write_bytes((tmp_path / "a.sav").read_bytes()[:5000])
    with pytest.raises(DataSetError, match="refused"):
        read_published_layout(tmp_path / "a.sav")


@pytest.mark.parametrize(("key", "message"), [("first_year", "incomplete metadata"), ("format", "not of format")])
def test_a_file_of_ours_without_all_of_its_metadata_is_refused(
    tmp_path: Path, sequences: SiteSequences, key: str, message: str
) -> None:
    path = tmp_path / "a.safetensors"
    write_published_layout(path, sequences)
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["agcarbon"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    del metadata[key]
    save_file(tensors, path, {"agcarbon": json.dumps(metadata)})
    with pytest.raises(DataSetError, match=message):
        read_published_layout(path)


def test_sequences_whose_balance_is_open_have_no_place_in_the_layout(tmp_path: Path, sequences: SiteSequences) -> None:
    open_balance = replace(sequences, fluxes_NYT3=sequences.fluxes_NYT3 + np.float32(0.01))
    with pytest.raises(DataSetError, match="must be 0"):
        write_published_layout(tmp_path / "a.safetensors", open_balance)
    with pytest.raises(DataSetError, match="must be 0"):
        write_published_layout(
            tmp_path / "a.safetensors", replace(sequences, fluxes_NYT3=sequences.fluxes_NYT3 * np.nan)
        )


def test_the_columns_are_the_published_ones() -> None:
    names = "RADN TMAX_AIR TDIF_AIR HMAX_AIR HDIF_AIR WIND PRECN Crop_Type GPP Ra Rh GrainC"
    assert names.split() == list(DAILY_COLUMNS)


def test_residue_is_what_neither_respiration_nor_harvest_took(sequences: SiteSequences) -> None:
    gpp, ra = sequences.x_NYTF[1, 0, :, GPP].sum(), sequences.fluxes_NYT3[1, 0, :, 0].sum()
    assert sequences.residue_NY[1, 0] == pytest.approx(max(0.0, gpp + ra - sequences.yield_NY[1, 0]), rel=1e-4)
    barren = replace(sequences, yield_NY=np.full_like(sequences.yield_NY, 1e5))
    assert np.all(barren.residue_NY == 0)


def test_the_digest_covers_values_years_and_names(sequences: SiteSequences) -> None:
    changed = sequences.x_NYTF.copy()
    changed[0, 0, 0, 0] += 1e-3
    others = [
        replace(sequences, x_NYTF=changed),
        replace(sequences, yield_NY=sequences.yield_NY + 1),
        replace(sequences, years=sequences.years + 1),
        replace(sequences, sites=("17019", "17019", "19003")),
        sequences.at([0, 1]),
    ]
    assert len({each.digest for each in [sequences, *others]}) == 6
    assert sequences.at([0, 1, 2]).digest == sequences.digest


def test_sequences_that_do_not_fit_together_are_refused(sequences: SiteSequences) -> None:
    with pytest.raises(DataSetError, match="must be consecutive"):
        replace(sequences, years=np.array([2004, 2006]))
    with pytest.raises(DataSetError, match=r"yield_NY has shape \(3, 1\), not \(3, 2\)"):
        replace(sequences, yield_NY=sequences.yield_NY[:, :1])
    faulty = sequences.x_NYTF.copy()
    faulty[1, 1, 1, 6] = np.inf
    with pytest.raises(DataSetError, match="PRECN"):
        replace(sequences, x_NYTF=faulty)


def county_set(points: SiteSequences) -> CountySet:
    corn = points.crop_NY == CORN
    observed = np.arange(2 * YEARS * 2, dtype=np.float32).reshape(2, YEARS, 2)
    return CountySet(points, np.array([1, 0, 1]), corn, ~corn, observed, ("17019", "19001"), "synthetic: noise")


def test_counties_take_their_points_along(sequences: SiteSequences) -> None:
    counties = county_set(sequences)
    one = counties.at([1])
    assert one.fips == ("19001",)
    assert one.county_P.tolist() == [0, 0]
    np.testing.assert_array_equal(one.points.yield_NY, sequences.yield_NY[[0, 2]])
    np.testing.assert_array_equal(one.corn_PY, counties.corn_PY[[0, 2]])
    np.testing.assert_array_equal(one.observed_CYK, counties.observed_CYK[[1]])
    assert counties.at([1, 0]).county_P.tolist() == [0, 0, 1]
    assert one.digest != counties.digest == county_set(sequences).digest


def test_a_point_of_no_county_is_refused(sequences: SiteSequences) -> None:
    with pytest.raises(DataSetError, match="counties 0 to 1"):
        replace(county_set(sequences), county_P=np.array([0, 1, 2]))


def tower_set(sequences: SiteSequences) -> TowerSet:
    reco = -sequences.fluxes_NYT3[0, ..., :2].sum(-1)
    mask = np.ones((YEARS, 365), bool)
    return TowerSet("US-Ne1", sequences.x_NYTF[0], reco, sequences.fluxes_NYT3[0, ..., 2], mask, sequences.years)


def test_a_tower_observes_chosen_years_and_runs_through_all(sequences: SiteSequences) -> None:
    tower = tower_set(sequences)
    chosen = tower.observing([2005])
    assert chosen.mask_YT.sum(1).tolist() == [0, 365]
    assert np.array_equal(chosen.x_YTF, tower.x_YTF)
    with pytest.raises(DataSetError, match="no year 2007"):
        tower.observing([2005, 2007])


def test_a_tower_with_a_gap_that_is_not_masked_to_zero_is_refused(sequences: SiteSequences) -> None:
    tower = tower_set(sequences)
    with pytest.raises(DataSetError, match="nee_YT is not finite everywhere"):
        replace(tower, nee_YT=np.full_like(tower.nee_YT, np.nan))


@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(3, 25), st.integers(0, 4), st.booleans())
def test_each_training_site_loses_its_years_and_no_others(
    seed: int, sites: int, count: int, unseen: int, replace: bool
) -> None:
    years = np.arange(2001, 2001 + count)
    split = split_sites(seed, years=years, sites=sites + unseen, held_out=HeldOut(2, unseen, replace))
    lost = (~split.training_NY[:sites]).sum(1)
    assert np.all((lost == 2) | (replace & (lost == 1)))
    assert split.unseen_N.tolist() == [False] * sites + [True] * unseen
    told = split.as_json()
    assert told["held_out_sites"] == list(range(sites, sites + unseen))
    assert all(len(told["held_out_years"][str(site)]) == lost[site] for site in range(sites))


def test_years_are_held_out_of_all_sites_alike() -> None:
    split = split_years(np.arange(2001, 2007), sites=2, held_out=[2006, 2003])
    assert split.training_NY.tolist() == [[True, True, False, True, True, False]] * 2
    assert split.as_json()["held_out_years"] == {"0": [2003, 2006], "1": [2003, 2006]}
    for impossible in ([2007], range(2001, 2007)):
        with pytest.raises(DataSetError, match="hold out some of these years, not all"):
            split_years(np.arange(2001, 2007), sites=2, held_out=list(impossible))


@given(st.integers(0, 2**31), st.integers(7, 700))
def test_counties_are_divided_without_rest_or_overlap(seed: int, counties: int) -> None:
    split = split_counties(seed, counties=counties)
    assert sorted((*split.test, *split.validation, *split.training)) == list(range(counties))
    assert split == split_counties(seed, counties=counties)


def test_the_published_counties_are_210_100_and_320() -> None:
    split = split_counties(1, counties=630)
    assert (len(split.test), len(split.validation), len(split.training)) == (210, 100, 320)
    with pytest.raises(DataSetError, match="2 counties are too few"):
        split_counties(1, counties=2)


def test_either_origin_trains(tmp_path: Path) -> None:
    """What the simulator makes and what a file of it holds give the same normalised data."""
    own = simulate_sites(4, sites=3, years=np.arange(2003, 2006))
    write_published_layout(tmp_path / "a.safetensors", own)
    split = split_sites(4, years=own.years, sites=3, held_out=HeldOut(1, 1))
    direct, read = (divide(each, split=split) for each in (own, read_published_layout(tmp_path / "a.safetensors")))
    assert torch.equal(direct.training_mask_NY, read.training_mask_NY)
    for name in ("x_NYTF", "fluxes_NYT3", "yield_NY"):
        torch.testing.assert_close(
            getattr(direct.validation, name), getattr(read.validation, name), atol=2e-4, rtol=1e-3
        )
    assert own.origin.startswith("synthetic")
    assert own.residue_NY.min() > 0


def test_a_split_of_other_data_is_refused(sequences: SiteSequences) -> None:
    with pytest.raises(DataSetError, match="the split has the shape"):
        divide(sequences, split=split_sites(1, years=sequences.years, sites=2, held_out=HeldOut(1)))
    with pytest.raises(DataSetError, match="holds out every site-year or none"):
        divide(sequences, split=split_sites(1, years=sequences.years, sites=3, held_out=HeldOut(0)))
