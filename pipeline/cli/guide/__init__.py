"""Guidance of the command line: groups, examples and exit codes in `--help`, the next command, names to look up.

Public modules: complete, help, lessons, lookup.
May import: config, console, cube, errors, export, job, storage, regions.
"""
