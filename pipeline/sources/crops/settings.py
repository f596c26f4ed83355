"""The section [crop] of a run file, without the readers, which take long to import."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

YearPattern = Annotated[str, Field(pattern=r"\{YYYY\}")]


class CropSettings(BaseModel, frozen=True, extra="forbid"):
    """Choice of the crop layer by state and year, names of files, and codes."""

    source: Literal["auto", "cdl", "csdl"] = Field(
        "auto",
        description='"cdl": Cropland Data Layer; "csdl": Corn-Soy Data Layer; "auto": the CDL from its first complete '
        "year in a state, the CSDL before",
    )
    cdl_from: int = Field(
        0, ge=0, description='with "auto": first year of the CDL in all states, such as 2008; 0 is each state\'s own'
    )
    pattern: YearPattern = Field(
        "{YYYY}_*m_cdls.tif",
        description="CDL: file name at any depth of the folder; {YYYY}: the year; 10, 30 or 56 m; also as .img or .zip",
    )
    state_pattern: Annotated[YearPattern, Field(pattern=r"\{FIPS\}")] = Field(
        "CDL_{YYYY}_{FIPS}.tif",
        description="CDL of one state, for years without a national one; {FIPS}: the state in two digits; also as .img "
        "or .zip",
    )
    csdl_patterns: tuple[YearPattern, ...] = Field(
        ("*CSDL*{YYYY}*.tif", "*{YYYY}*CSDL*.tif"),
        min_length=1,
        description="CSDL: file names at any depth of its folder (unconfirmed), one or several a year; also as .img "
        "or .zip",
    )
    corn_codes: tuple[int, ...] = Field((1,), min_length=1, description="codes of corn in the CDL")
    soybean_codes: tuple[int, ...] = Field((5,), min_length=1, description="codes of soybean in the CDL")
    background_code: int = Field(0, description="code of area without data in the CDL")

    @property
    def decoding(self) -> CropSettings:
        """The settings that decide on a file's values, with defaults for all others, which only serve to find files."""
        kept = self.model_dump(include={"corn_codes", "soybean_codes", "background_code"})
        return CropSettings(**kept)
