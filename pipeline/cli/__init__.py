"""The command line: one module a command; heavy imports happen inside the functions.

Public modules: aggregate, audit, checkpoint, demo, evaluate, export, fetch, history, ingest, init, inputs, main,
options, plan, run, site, status, tour, train, training_data.
May import: access, aggregate, audit, cluster, config, console, cube, demo, errors, evaluation, export, fetch, ingest,
inputs, job, run, site, storage, training, model, regions.
"""
