"""Settings of the SLOPE reader: names of files, bands, scales, gaps, and the plane that pixels lie in."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, Field, field_validator, model_validator
from pyproj import CRS, Proj
from pyproj.exceptions import CRSError

from pipeline.grid.sinusoidal import SINUSOIDAL, sinusoidal
from pipeline.sources.gpp_gaps import GapRule

Quantity: TypeAlias = Literal["gpp", "gpp_uncertainty"]
"""Product of the inputs store that SLOPE's files hold."""

LAST_RELEASED = 2019  # doi:10.3334/ORNLDAAC/1786 ends here; later years have to be requested from the authors

_PARTS = ("{YYYY}", "{MM}", "{DD}", "{tile}")  # of a file's name
_DIGITS = {"{YYYY}": "[0-9]" * 4, "{MM}": "[0-9]" * 2, "{DD}": "[0-9]" * 2}
# Far apart, since another projection can share a parallel with the sinusoidal one (equirectangular, true at 45 N).
_PROBES = np.array([(-105.0, 36.0), (-90.0, 45.0), (-80.0, 49.0)]).T


class Layer(BaseModel, frozen=True, extra="forbid"):
    """Place and coding of one quantity [g C m-2 d-1] in daily files; see `SlopeSettings`."""

    quantity: str
    pattern: str
    band: int
    scale: float
    scale_setting: str
    nodata: int | None
    crs: str | None

    def file_name(self, day: dt.date, *, tile: str) -> str:
        """Return the path of a day's file below its folder."""
        return _replaced(
            self.pattern, {"{YYYY}": f"{day:%Y}", "{MM}": f"{day:%m}", "{DD}": f"{day:%d}", "{tile}": tile}
        )

    def wildcard(self, year: int, *, tile: str) -> str:
        """Return what matches the files of a year, also those with the wrong year further down its folder."""
        first_year = self.pattern.replace("{YYYY}", f"{year}", 1)
        return _replaced(first_year, {**_DIGITS, "{tile}": tile})


def _replaced(pattern: str, values: dict[str, str]) -> str:
    for part, value in values.items():
        pattern = pattern.replace(part, value)
    return pattern


class SlopeSettings(BaseModel, frozen=True, extra="forbid"):
    """How SLOPE files are named, decoded and their gaps filled."""

    pattern: str = Field(
        "GPP250m/{YYYY}/GPP.{YYYY}.{MM}.{DD}.{tile}.tif",
        description="path below the folder; {YYYY}, {MM}, {DD}: the day, {tile}: the MODIS tile, such as h11v04",
    )
    scale: float = Field(0.001, gt=0, description="g C m-2 d-1 per unit of the stored integers")
    nodata: int | None = Field(
        None, description="missing value beside negative ones, those from 32767 up and the file's own"
    )
    crs: str | None = Field(None, description="coordinate system of files that carry none; without it they are refused")
    uncertainty_pattern: str = Field(
        "",
        description="path of the files with the uncertainty of GPP, as `pattern`; empty: none, or a band of GPP's own",
    )
    uncertainty_band: int | None = Field(
        None, ge=1, description="band of the uncertainty: of its own files (1 if not set), else of those of GPP"
    )
    uncertainty_scale: float = Field(0.001, gt=0, description="g C m-2 d-1 per unit of the stored uncertainty")
    dormant_from: int = Field(
        GapRule().dormant_from,
        ge=245,
        le=365,
        description="first day at which missing GPP is 0, counted in each year: 31 October if leap",
    )
    dormant_to: int = Field(
        GapRule().dormant_to,
        ge=1,
        le=180,
        description="last day at which missing GPP is 0, counted in each year",
    )
    max_gap_days: int = Field(
        GapRule().max_gap_days,
        ge=0,
        description="longest gap in the growing season that is interpolated; beyond, the year is missing",
    )
    min_summer_peak: float = Field(
        1.0, ge=0, description="g C m-2 d-1 that some cell of a strip of tiles reaches from June to August, if any is "
        "above 0; less is taken for a wrong scale"
    )  # fmt: skip

    @field_validator("pattern", "uncertainty_pattern")
    @classmethod
    def _names_each_file(cls, pattern: str) -> str:
        """Refuse a pattern without the day, which would read one file for all days."""
        absent = [part for part in _PARTS if part not in pattern]
        if absent and pattern:
            raise ValueError(f"does not contain {', '.join(absent)}")
        if set(pattern) & set("*?["):
            raise ValueError("contains a wildcard (*, ? or [), but must name exactly one file")
        return pattern

    @field_validator("crs")
    @classmethod
    def _is_known(cls, crs: str | None) -> str | None:
        if crs is not None and not is_modis_plane(crs):
            raise ValueError(f"is not the MODIS sinusoidal plane; write {SINUSOIDAL!r}")
        return crs

    @model_validator(mode="after")
    def _distinguishes_uncertainty_from_gpp(self) -> SlopeSettings:
        layer = self.uncertainty
        if layer and (layer.pattern, layer.band) == (self.gpp.pattern, self.gpp.band):
            raise ValueError("`uncertainty_pattern` and `uncertainty_band` name the files and the band of GPP itself")
        return self

    @property
    def gap_rule(self) -> GapRule:
        """Rule by which gaps are filled."""
        return GapRule(self.dormant_from, self.dormant_to, self.max_gap_days)

    @property
    def gpp(self) -> Layer:
        """GPP."""
        return Layer(
            quantity="GPP",
            pattern=self.pattern,
            band=1,
            scale=self.scale,
            scale_setting="scale",
            nodata=self.nodata,
            crs=self.crs,
        )

    @property
    def uncertainty(self) -> Layer | None:
        """The uncertainty of GPP, or None if none is configured."""
        if not self.uncertainty_pattern and self.uncertainty_band is None:
            return None
        changed = {
            "quantity": "GPP uncertainty",
            "pattern": self.uncertainty_pattern or self.pattern,
            "band": self.uncertainty_band or 1,
            "scale": self.uncertainty_scale,
            "scale_setting": "uncertainty_scale",
        }
        return self.gpp.model_copy(update=changed)

    def layer(self, quantity: Quantity) -> Layer:
        """Return the layer of a quantity, which must be configured."""
        found = self.gpp if quantity == "gpp" else self.uncertainty
        assert found is not None, "the uncertainty is planned only where it is configured"
        return found

    def deciding(self, quantity: Quantity) -> BaseModel:
        """Return the settings that decide on the values of a quantity: no others enter the stamp of its files.

        Configuring the uncertainty therefore leaves GPP as it was ingested, and filling gaps differently leaves the
        uncertainty.
        """
        if quantity == "gpp_uncertainty":
            return self.layer(quantity)
        fields = [name for name in SlopeSettings.model_fields if name.startswith("uncertainty_")]
        return self.model_copy(update={name: SlopeSettings.model_fields[name].default for name in fields})


@lru_cache
def is_modis_plane(crs: str) -> bool:
    """Return whether a coordinate system is the MODIS sinusoidal plane, by where it puts points of the Midwest.

    The plane has no EPSG code, and libraries spell it in many ways.
    """
    try:
        there = Proj(CRS(crs))(*_PROBES)
    except CRSError:  # unknown, or not tied to the Earth, such as an engineering plane
        return False
    return np.allclose(there, sinusoidal(*_PROBES), rtol=0, atol=1.0)
