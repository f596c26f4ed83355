"""Cost of a region before it is paid: downloads, processor and wall time of every step, and space of every product.

The equations and the sources of their rates are in docs/plan.md; the rates in `rates.json`, written by
`python -m benchmarks.plan_rates`.

Public modules: estimate, rates, report.
Inner modules: downloads, model, work.
May import: aggregate, cluster, config, cube, export, fetch, grid, ingest, inputs, job, progress, run, simulate,
sources, storage, variables, years, model, regions.
"""
