"""Figures that the authors report of their network: scores and responses, to be shown beside ours."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic.dataclasses import dataclass

from model.evaluation.scores import Period

PUBLISHED = Path(__file__).parent / "published_scores.toml"


@dataclass(frozen=True)
class PublishedScore:
    """One published score.

    Attributes
    ----------
    on
        Kind of data: "synthetic" or "tower".
    output, period
        As in `model.evaluation.scores.ScoreRow`.
    description
        Network and data in words.
    r2, r2_to, rmse
        Published values, None if not reported; `r2_to` is the upper end of a range. RMSE in g C m-2 d-1 or
        g C m-2 yr-1.
    """

    on: str
    output: str
    period: Period
    description: str
    r2: float | None = None
    r2_to: float | None = None
    rmse: float | None = None

    def __str__(self) -> str:
        """Return the values in words.

        Examples
        --------
        >>> str(PublishedScore("tower", "nee", "daily", "ecosys at 7 towers", r2=0.59, r2_to=0.88))
        'R² 0.59 to 0.88'
        """
        until = f" to {self.r2_to:g}" if self.r2_to is not None else ""
        parts = [f"R² {self.r2:g}{until}"] if self.r2 is not None else []
        return ", ".join([*parts, *([f"RMSE {self.rmse:g}"] if self.rmse is not None else [])])


@dataclass(frozen=True)
class PublishedResponse:
    """Published mean daily respiration, positive [g C m-2 d-1], at levels of an input in the input's own unit."""

    input: str
    output: str
    levels: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Published:
    """Published scores and responses."""

    scores: tuple[PublishedScore, ...]
    responses: tuple[PublishedResponse, ...]

    def on(self, kind: str) -> tuple[PublishedScore, ...]:
        """Return the scores on one kind of data."""
        return tuple(score for score in self.scores if score.on == kind)


def read_published(path: Path = PUBLISHED) -> Published:
    """Return the published figures."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    responses = tuple(PublishedResponse(**row) for row in raw["response"])
    return Published(tuple(PublishedScore(**row) for row in raw["score"]), responses)
