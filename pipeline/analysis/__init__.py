"""Analyses of a cube: what the regional part of the paper shows, each with a table, a figure and its limits.

An analysis is a function from a `Subject` (a state of a cube, some years) to `Findings`; `registry` lists them all, and
`write` makes their files. The equations are in docs/analyses/README.md.

Public modules: cells, figures, findings, mosaic, registry, spread, subject, write.
Inner modules: areas, attribution, beside, carry_over, coarse, dsoc, extremes, moments, paper, rotation, soil_classes,
speed, yields.
May import: access, aggregate, basemap, cube, errors, export, grid, inputs, job, run, simulate, sources, storage,
variables, years, model, regions.
"""
