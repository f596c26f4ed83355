"""Icechunk repositories, S3 objects and files: opening, locking, committing, retrying; CF layout. Knows no product.

Public modules: cf, commit, files, formats, repository, retry, s3.
Inner modules: lease, lock, versions.
May import: errors, grid, variables.
"""
