"""The cube of the analyses' tests, for the report."""

from __future__ import annotations

from tests.pipeline.analysis.conftest import subject, whole

__all__ = ["subject", "whole"]
