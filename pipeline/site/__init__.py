"""The checkpoint at one point: a table of daily inputs in, fluxes and scores out.

Public modules: point, report, skill, table, tower.
May import: errors, sources, years, model.
"""
