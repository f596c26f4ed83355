"""Icechunk repositories, S3 objects and files: opening, locking, committing, retrying; CF layout. Knows no product.

Public modules: cf, commit, files, formats, repository, retry, s3.
Inner modules: lease, lock, seal, versions.
May import: digests, errors, grid, variables.
"""
