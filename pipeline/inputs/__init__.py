"""The inputs store: layout, reading, and a survey of its content.

Public modules: cells, gpp_errors, layout, limits, report, report_figure, report_tables, view.
Inner modules: distribution, survey.
May import: digests, errors, grid, progress, simulate, sources, storage, variables, years, model, regions.
"""
