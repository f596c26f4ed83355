"""Two states of a cube compared: what changed, where, and which part of the fingerprint explains it.

Public modules: compare, picture, report.
May import: aggregate, basemap, cube, errors, grid, job, progress, storage, variables, years, regions.
"""
