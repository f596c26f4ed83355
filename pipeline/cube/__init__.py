"""The product of record: its layout, its ledger of what was computed from what, its history and releases.

Public modules: attributes, entry, garbage, history, history_report, layout, ledger, members, parts, restarts,
    results, rollback.
May import: digests, errors, grid, simulate, storage, variables, years, model.
"""
