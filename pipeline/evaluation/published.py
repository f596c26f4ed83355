"""What the authors report of their network: scores and responses, to be shown beside ours."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

PUBLISHED = Path(__file__).parent / "published_scores.toml"


@dataclass(frozen=True)
class PublishedScore:
    """A score that was printed.

    Attributes
    ----------
    on
        Kind of data: "synthetic" or "tower".
    output, period
        As `model.evaluation.scores.ScoreRow` has them.
    what
        Which network on which data.
    r2, r2_to, rmse
        What was printed of it; `r2_to` ends a range. RMSE in g C m-2 d-1 or g C m-2 yr-1.
    """

    on: str
    output: str
    period: str
    what: str
    r2: float | None = None
    r2_to: float | None = None
    rmse: float | None = None

    def __str__(self) -> str:
        """Return the figures in words."""
        until = f" to {self.r2_to:g}" if self.r2_to is not None else ""
        parts = [f"R² {self.r2:g}{until}"] if self.r2 is not None else []
        return ", ".join([*parts, *([f"RMSE {self.rmse:g}"] if self.rmse is not None else [])])


@dataclass(frozen=True)
class PublishedResponse:
    """Mean daily respiration, positive [g C m-2 d-1], at some levels of an input, in its own unit."""

    input: str
    output: str
    levels: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Published:
    """All that was printed and is known here."""

    scores: tuple[PublishedScore, ...]
    responses: tuple[PublishedResponse, ...]

    def on(self, kind: str) -> tuple[PublishedScore, ...]:
        """Return the scores on one kind of data."""
        return tuple(score for score in self.scores if score.on == kind)


def read_published(path: Path = PUBLISHED) -> Published:
    """Return the published figures."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    responses = (
        PublishedResponse(row["input"], row["output"], tuple(row["levels"]), tuple(row["values"]))
        for row in raw["response"]
    )
    return Published(tuple(PublishedScore(**row) for row in raw["score"]), tuple(responses))
