"""Inputs store to cube: plan, execute, commit.

Public modules: estimate, plan, prepare, provenance, report, run, staleness, status, status_figure, status_report.
Inner modules: block, coordinator, memory.
May import: cluster, config, cube, digests, errors, grid, inputs, job, progress, simulate, storage, variables,
years, model, regions.
"""
