"""Means by classes of one's own, here by year, crop and level of GPP: `python own_aggregates.py demo/run.toml`."""

import sys

import numpy as np

import agcarbon

CROPS = {1: "corn", 5: "soybean"}
NOT_GROWN = 1  # bit of `quality`

if __name__ == "__main__":
    annual = agcarbon.open(sys.argv[1]).annual
    layers = annual[["gpp", "nee", "yield", "dsoc", "crop", "quality"]].load()
    table = layers.reset_coords("cell_area")[[*layers.data_vars, "cell_area"]].to_dataframe().reset_index()
    grown = table[table["dsoc"].notna() & (table["quality"].astype(int) & NOT_GROWN == 0)]
    grown = grown.assign(crop=grown["crop"].map(CROPS), gpp_class=np.floor(grown["gpp"] / 250) * 250)
    # Sums of area x value and of area, divided last: the same as for counties and states.
    fluxes = ["gpp", "nee", "yield", "dsoc"]
    weighted = grown[fluxes].multiply(grown["cell_area"], axis=0).assign(area=grown["cell_area"])
    sums = weighted.groupby([grown["year"], grown["crop"], grown["gpp_class"]]).sum()
    means = sums[fluxes].divide(sums["area"], axis=0).assign(area_km2=sums["area"] / 1e6)
    print(means.round(1).to_string())
    means.to_csv("own-aggregates.csv")
