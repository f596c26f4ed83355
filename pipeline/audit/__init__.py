"""Audit of a cube: its numbers compared with its ledger, its inputs and a second computation.

Public modules: audit, report.
Inner modules: aggregates, checks, reading, seams, tile, totals.
May import: access, aggregate, cluster, cube, errors, grid, inputs, job, progress, run, simulate, sources, storage,
variables, years, model, regions.
"""
