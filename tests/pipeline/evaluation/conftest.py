"""Random site-years and a tower, evaluated once with the shipped checkpoint."""

from __future__ import annotations

import pytest

from model.checkpoint import Checkpoint
from model.data.records import SiteSequences, TowerSet
from model.shipped import checkpoint_file
from pipeline.evaluation.subjects import Result, Subject, evaluate_subject
from tests.helpers.random_carbon import random_sequences, random_tower


@pytest.fixture(scope="session")
def sequences() -> SiteSequences:
    return random_sequences()


@pytest.fixture(scope="session")
def random_site_tower(sequences: SiteSequences) -> TowerSet:
    return random_tower(sequences)


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return Checkpoint.load(checkpoint_file("simulated-2"))


@pytest.fixture(scope="session")
def results(sequences: SiteSequences, random_site_tower: TowerSet, checkpoint: Checkpoint) -> tuple[Result, ...]:
    subjects = (Subject.of_sites(sequences, name="dice", kind="synthetic"), Subject.of_tower(random_site_tower))
    return tuple(evaluate_subject(checkpoint, subject) for subject in subjects)
