"""Settings of SLOPE: refused patterns, coordinate systems and bands."""

from __future__ import annotations

import pytest

from pipeline.sources.slope.settings import SlopeSettings

SETTINGS = SlopeSettings()


def test_an_unknown_coordinate_system_in_the_settings_is_refused() -> None:
    with pytest.raises(ValueError, match="not the MODIS sinusoidal plane"):
        SlopeSettings(crs="SR-ORG:6974")


@pytest.mark.parametrize("absent", ["{YYYY}", "{MM}", "{DD}", "{tile}"])
@pytest.mark.parametrize("setting", ["pattern", "uncertainty_pattern"])
def test_a_pattern_that_names_several_days_alike_is_refused(setting: str, absent: str) -> None:
    with pytest.raises(ValueError, match=f"does not contain {absent}"):
        SlopeSettings.model_validate({setting: "un/" + SETTINGS.pattern.replace(absent, "")})


def test_a_pattern_with_a_wildcard_is_refused() -> None:
    with pytest.raises(ValueError, match="wildcard"):
        SlopeSettings(pattern=SETTINGS.pattern.replace("GPP.", "*."))


@pytest.mark.parametrize("same", [{"uncertainty_band": 1}, {"uncertainty_pattern": SETTINGS.pattern}])
def test_gpp_is_not_taken_for_its_own_uncertainty(same: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="of GPP itself"):
        SlopeSettings.model_validate(same)
