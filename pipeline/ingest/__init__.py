"""Archives to inputs store.

The road of a gridded array, with the type that carries it (T days, Y X rows and columns of a strip of tiles):

    archive file    daily GeoTIFF, geodatabase, raster of crop codes
    -> reader       `sources`: SlopeYear and FilledGpp, GridSoil, CropShares; the product's own quantities
    -> source       `sources.GridSource.read`: CellArrays, named and in the units of the store; of GPP part by
                    part, after `opened` has decoded a row of tiles at once
    -> strip        `strips.StripBlock.write`: checked, packed or with one bit pattern for NaN, a digest for each tile
    -> store        written to a worker's fork; `run` merges the forks and commits the product-year

Climate takes the same road by month, and on its own grid (`climate`): granules -> DailyClimate -> a month in the group
`staging` -> the year with a digest for each NLDAS-2 cell. From the store on, `inputs.view` reads all products of a tile
and year into one TileYear.

Public modules: memory, plan, report, run.
Inner modules: climate, files, sources, strips.
May import: cluster, config, digests, errors, grid, inputs, progress, sources, storage, years, regions.
"""
