"""Training data from recipes and from users' files, for the commands `train` and `training-data`.

Public modules: course, files.
May import: errors, site, sources, years, model.
"""
