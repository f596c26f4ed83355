"""Icechunk repositories, S3 objects, files; how a commit survives; CF layout. Knows no product."""
