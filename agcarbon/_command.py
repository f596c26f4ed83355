"""The command `agcarbon`, whose packages are compared with what hides them before any is imported."""

from __future__ import annotations

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    from pipeline.cli.main import main as run

    run()
