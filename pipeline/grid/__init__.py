"""Where cells are and what share of each lies in what: the sinusoidal grid, latitude-longitude grids, coverage."""
