"""Analyses of a cube: what the regional part of the paper shows, each with a table, a figure and its limits.

An analysis is a function from a `Subject` (a state of a cube, some years) to `Findings`; `registry` lists them all, and
`write` makes their files. The equations are in docs/analyses/README.md.

Public modules: findings, registry, subject, write.
Inner modules: areas, attribution, carry_over, cells, coarse, dsoc, extremes, figures, moments, mosaic, paper, rotation,
soil_classes, spread, yields.
May import: access, aggregate, basemap, cube, errors, export, grid, inputs, job, run, simulate, sources, storage,
variables, years, model, regions.
"""
