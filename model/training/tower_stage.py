"""Stage 5: Ra, Rh and NEE, from flux towers, while the responses and the sites learned before are preserved.

Not published: towers known by months; balances of the year; Rh that must not fall along GPP and soil carbon, as in
stage 4; and simulated sites that are replayed, so that fields unlike the towers keep their fluxes and their balance.

Shape legend: Y years, T days, F features, J levels of an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.data.records import TowerSet
from model.data.run_years import run_years
from model.data.sites import normalised_inputs
from model.evaluation.responses import ResponseChecks, mean_respiration
from model.features import SOIL
from model.losses import (
    agreement_shortfall,
    annual_balance,
    correlation_shortfall,
    mass_balance,
    rise,
    seasonal_respiration_error,
    squared_error,
)
from model.network import KGMLNetwork
from model.training.pretraining import Pretraining
from model.training.scores import RunningR2, score
from model.training.stages import SOIL_CARBON, STAGES, physical_fluxes, physical_gpp
from model.training.trainer import Learn, Outcome

CORRELATION, SOIL_CORRELATION, SOIL_CARBON_R2 = 0.8, 0.9, 0.99
"""Thresholds of L9, as published: correlation with the earlier response to weather, crop, GPP and year; to soil; and R2
of the response of Rh to soil carbon."""


RISING_RH = STAGES[4].rising_respiration


@dataclass(frozen=True)
class TowerData:
    """A tower, the division of its years into training, validation and test, and the weight of its loss."""

    tower: TowerSet
    training: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...] = ()
    weight: float = 1.0

    def as_json(self) -> dict[str, Any]:
        """Return the years of each part."""
        return {name: list(getattr(self, name)) for name in ("training", "validation", "test")}


@dataclass(frozen=True)
class TowerRun:
    """Predictions and observations at one tower, physical [g C m-2 d-1]; predicted fluxes have the network's signs.

    `seen_YT3` are the daily fluxes at the resolution of the observations: the same, or the mean of each day's month.
    """

    gpp_YT: Tensor
    fluxes_YT3: Tensor
    seen_YT3: Tensor
    reco_YT: Tensor
    nee_YT: Tensor
    mask_YT: Tensor

    @property
    def predicted_reco_YT(self) -> Tensor:
        """Predicted ecosystem respiration, positive."""
        return -self.seen_YT3[..., :2].sum(-1)

    def at(self, chosen_Y: Tensor) -> TowerRun:
        """Return some of the years."""
        return TowerRun(*(getattr(self, name)[chosen_Y] for name in TowerRun.__dataclass_fields__))


class TowerStage:
    """The task of stage 5.

    Parameters
    ----------
    towers
        Towers and their splits.
    network
        Network after stage 4, whose response curves are preserved.
    checks
        Sequences and the grids of all inputs.
    replay
        Task of the simulated sites under this stage's recipe; they are replayed with the recipe's `replay_weight`.
    """

    def __init__(
        self, towers: Sequence[TowerData], *, network: KGMLNetwork, checks: ResponseChecks, replay: Pretraining
    ) -> None:
        self.towers, self.checks, self.replay = tuple(towers), checks, replay
        self.scalers, self.stage = replay.scalers, replay.stage
        # Fixed before the first step. A resumed run builds its task from the same checkpoint of stage 4, so that the
        # references are the same.
        with torch.no_grad():
            network.eval()
            self.references_J2 = [self._curve(network, i) for i in range(len(checks.grids))]

    def train(self, network: KGMLNetwork, *, learn: Learn, epoch: int) -> Outcome:
        """Train one epoch: one step over all towers; from the second epoch on, one step per input for its response.

        Replayed sites follow, a step for each of their years.
        """
        skill, losses = _running(), []
        for data in self.towers:
            if data.training:
                run = self._run(network, data.tower.observing(data.training))
                losses.append(data.weight * self._loss(run))
                _count(run, skill)
        # One step per epoch over all towers, as in the published code (the paper: one site per step).
        loss = learn(torch.stack(losses).mean())
        if epoch > 0 and self.stage.response_weight:
            for i in range(len(self.checks.grids)):
                learn(self.response_loss(network, i))
        if self.stage.replay_weight:
            self.replay.train_batch(network, learn=lambda error: learn(self.stage.replay_weight * error))
        return Outcome(loss, {name: r2.value for name, r2 in skill.items()})

    def validate(self, network: KGMLNetwork) -> Outcome:
        """Return the score of the validation years: squared errors of Reco, winter not apart, and NEE; mass balance."""
        skill, losses = _running(), []
        for data in self.towers:
            if not data.validation:
                continue
            run = self._run(network, data.tower.observing(data.validation))
            reco = squared_error(run.predicted_reco_YT, target=run.reco_YT, mask=run.mask_YT).mean()
            losses.append(float(reco + self._nee_and_balance(run)))
            _count(run, skill)
        return Outcome(sum(losses) / len(losses), {name: r2.value for name, r2 in skill.items()})

    def response_loss(self, network: KGMLNetwork, check: int) -> Tensor:
        """Return the loss of responses of Ra and Rh to an input that differ from those before the stage (L9)."""
        feature = self.checks.grids[check].feature
        curve_J2, reference_J2 = self._curve(network, check), self.references_J2[check]
        # Correlations leave level and slope of a response free to follow the towers; R2, for the response of Rh to soil
        # carbon, does not.
        threshold = SOIL_CORRELATION if feature >= SOIL.start else CORRELATION
        ra = correlation_shortfall(curve_J2[:, 0], reference_J=reference_J2[:, 0], threshold=threshold)
        if feature == SOIL_CARBON:
            rh = agreement_shortfall(curve_J2[:, 1], reference_J=reference_J2[:, 1], threshold=SOIL_CARBON_R2)
        else:
            rh = correlation_shortfall(curve_J2[:, 1], reference_J=reference_J2[:, 1], threshold=threshold)
        falls = rise(curve_J2[:, 1], step=self.checks.grids[check].step) if feature in RISING_RH else ra.new_zeros(())
        return self.stage.response_weight * (ra + rh + falls)

    def scores(self, network: KGMLNetwork) -> dict[str, Any]:
        """Return the daily skill of Reco and NEE in each tower's test years, by site and year."""
        with torch.no_grad():
            network.eval()
            return {data.tower.site: self._test_scores(network, data) for data in self.towers}

    def _test_scores(self, network: KGMLNetwork, data: TowerData) -> dict[str, Any]:
        run = self._run(network, data.tower)
        table = {}
        for year in data.test:
            of_year = run.at(torch.from_numpy(data.tower.years == year).to(run.mask_YT.device))
            kept = of_year.mask_YT.bool()
            pairs = {"reco": (of_year.predicted_reco_YT, of_year.reco_YT)}
            pairs["nee"] = (of_year.seen_YT3[..., 2], of_year.nee_YT)
            table[str(year)] = {name: asdict(score(p[kept], target=t[kept])) for name, (p, t) in pairs.items()}
        return table

    def _curve(self, network: KGMLNetwork, check: int) -> Tensor:
        return mean_respiration(network, self.checks.x_NYTF, grid=self.checks.grids[check], scalers=self.scalers)

    def _run(self, network: KGMLNetwork, tower: TowerSet) -> TowerRun:
        device = self.checks.x_NYTF.device
        x_YTF = normalised_inputs(tower.x_YTF, scalers=self.scalers).to(device)
        # A tower is a batch of one site; all its years are run, observed or not, so that the state is carried.
        fluxes_YT3 = torch.cat([result.fluxes_BT3 for result in run_years(network, x_YTF[None])])
        fluxes_YT3 = physical_fluxes(fluxes_YT3, scalers=self.scalers)
        observed = [torch.from_numpy(values).to(device) for values in (tower.reco_YT, tower.nee_YT, tower.mask_YT)]
        return TowerRun(
            physical_gpp(x_YTF, scalers=self.scalers),
            fluxes_YT3,
            _monthly_means(fluxes_YT3, month_YT=torch.from_numpy(tower.month_YT)) if tower.monthly else fluxes_YT3,
            observed[0],
            observed[1],
            observed[2].float(),
        )

    def _loss(self, run: TowerRun) -> Tensor:
        reco = seasonal_respiration_error(-run.seen_YT3[..., :2], reco_YT=run.reco_YT, mask_YT=run.mask_YT)
        return reco + self._nee_and_balance(run)

    def _nee_and_balance(self, run: TowerRun) -> Tensor:
        nee = squared_error(run.seen_YT3[..., 2], target=run.nee_YT, mask=run.mask_YT).mean()
        tolerance = self.stage.balance_tolerance
        balance = mass_balance(run.gpp_YT, fluxes_BT3=run.fluxes_YT3, mask_BT=run.mask_YT, tolerance=tolerance)
        annual = annual_balance(run.gpp_YT, fluxes_BT3=run.fluxes_YT3, mask_BT=torch.ones_like(run.gpp_YT))
        return nee + self.stage.balance_weight * balance + self.stage.annual_balance_weight * annual


def _monthly_means(fluxes_YT3: Tensor, *, month_YT: Tensor) -> Tensor:
    """Return on each day the mean of its month, (Y, T, 3)."""
    is_month_YTM = nn.functional.one_hot(month_YT, 12).to(fluxes_YT3)
    means_YM3 = torch.einsum("ytf,ytm->ymf", fluxes_YT3, is_month_YTM) / is_month_YTM.sum(1)[..., None]
    return torch.einsum("ymf,ytm->ytf", means_YM3, is_month_YTM)


def _running() -> dict[str, RunningR2]:
    return {"reco": RunningR2(), "nee": RunningR2()}


def _count(run: TowerRun, skill: dict[str, RunningR2]) -> None:
    skill["reco"].add(run.predicted_reco_YT, target=run.reco_YT, mask=run.mask_YT)
    skill["nee"].add(run.seen_YT3[..., 2], target=run.nee_YT, mask=run.mask_YT)
