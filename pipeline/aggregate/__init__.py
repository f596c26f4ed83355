"""Area-weighted means and totals of the cube: 0.0025 and 0.5 degree, counties, the region.

Public modules: bands, layout, report, sums, tables, write.
May import: cluster, console, cube, digests, errors, grid, job, progress, storage, variables, years, model, regions.
"""
