"""A checkpoint compared with flux towers, county yields, simulations and published figures.

Public modules: budgets, counties, experiments, field_yields, mead, published, report, subjects, tower_scores, towers,
towers_figure.
Inner modules: figures, page.
May import: errors, progress, site, sources, training, model.
"""
