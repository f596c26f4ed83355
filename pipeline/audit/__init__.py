"""The cube compared with its ledger and its inputs."""
