"""Annual and daily series of fields: `python field_series.py demo/run.toml fields.gpkg COLUMN_OF_NAMES`."""

import sys

import geopandas as gpd
import matplotlib.pyplot as plt

import agcarbon

if __name__ == "__main__":
    run_file, file, label = sys.argv[1:4]
    fields = agcarbon.open(run_file).fields(gpd.read_file(file), label=label)
    # The share of a field in cells that belong to its neighbours too: near 1, the values are not the field's alone.
    print(fields.annual.coords.to_dataset()[["modelled_area", "mixed_share"]].to_dataframe())
    annual = fields.annual[["gpp", "nee", "yield", "dsoc"]]
    annual.to_dataframe().to_csv("fields-annual.csv")
    fields.daily[["ra", "rh", "nee"]].to_dataframe().to_csv("fields-daily.csv")

    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    fields.daily.nee.plot.line(x="time", ax=axes)
    axes.set_ylabel("NEE [g C m⁻² d⁻¹], positive to the atmosphere")
    figure.savefig("fields.png", dpi=110)
