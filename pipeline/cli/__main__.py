"""`python -m pipeline.cli` is the command `agcarbon`."""

from pipeline.cli.main import main

main()
