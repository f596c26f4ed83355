"""Area-weighted means and totals of the cube: 0.0025, 0.05 and 0.5 degree, counties, states, the region.

Public modules: bands, frame, layout, memory, months, report, room, sums, tables, write.
May import: cluster, console, cube, digests, errors, grid, job, progress, simulate, storage, variables, years, model,
  regions.
"""
