"""A report on a cube for a reader without tools: one HTML page that holds everything it shows.

Values are read from a `Subject` (a state of a cube, some years), drawn, and put into the template in `page/`; the page
loads nothing from a network. Analyses are those that `agcarbon analyze` wrote of the same state and years.

Public modules: write.
Inner modules: chosen_analyses, counties, courses, facts, pictures, quantities, values.
May import: access, aggregate, analysis, basemap, cube, errors, export, grid, inputs, job, run, simulate, sources,
storage, variables, years, model, regions.
"""
