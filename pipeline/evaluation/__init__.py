"""A checkpoint compared with flux towers, county yields, simulations and published figures.

Public modules: counties, experiments, mead, published, report, subjects, tower.
Inner modules: figures, page.
May import: errors, progress, site, sources, training, model.
"""
