"""Inputs store to cube: plan the tile-years to compute, compute them on workers, commit the results.

Public modules: estimate, fingerprints, plan, prepare, provenance, report, run, staleness, status, status_figure,
year_step.
Inner modules: block, coordinator, groups, memory, repair, stages, tile_inputs.
May import: basemap, cluster, config, console, cube, digests, errors, grid, inputs, job, progress, simulate, storage,
variables, years, model, regions.
"""
