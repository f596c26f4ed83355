"""The checkpoint at one point: a table of daily inputs in, fluxes and scores out.

Public modules: point, report, skill, table, tower.
Inner modules: training_notes.
May import: errors, simulate, sources, years, model.
"""
