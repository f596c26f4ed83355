"""Training of KGML-ag-Carbon: data sets of synthetic sites, stages, and the loop that survives being killed."""
