"""Global attributes of an export: title, licence, version, whether inputs are synthetic, and the weights."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import zarr

from pipeline.cube.history import RELEASE
from pipeline.inputs.report import is_synthetic
from pipeline.job import Job
from pipeline.run.provenance import Records
from pipeline.storage import cf
from pipeline.storage.repository import attribute


def software() -> str:
    """Return name and version of this program."""
    return f"agcarbon {version('agcarbon')}"


def publication_attributes(job: Job) -> dict[str, str]:
    """Return licence, organisations, program, and whether inputs are synthetic."""
    publication = job.publication
    return {
        "license": " ".join(text for text in (publication.license, publication.license_url) if text),
        "institution": "; ".join(text.partition(";")[0].strip() for text in publication.providers) or "not stated",
        "software": software(),
        "synthetic_inputs": _synthetic_inputs(job),
    }


def global_attributes(job: Job, root: zarr.Group, snapshot: str, records: Records) -> dict[str, Any]:
    """Return the attributes of an export of the cube `root` as it was at a snapshot, in the terms of CF and ACDD."""
    release = (attribute(root, RELEASE) or {}).get("name", "none")
    checkpoints = {sha: origin for record in records.years for sha, origin in record.checkpoints.items()}
    return {
        "Conventions": cf.CONVENTIONS,
        "title": attribute(root, "title"),
        "region": job.region.name,
        "region_title": job.region.title,
        "source": attribute(root, "source"),
        "product_version": snapshot if release == "none" else release,
        "release": release,
        "cube_snapshot": snapshot,
        "checkpoint_sha256": " ".join(checkpoints),
        "checkpoint_origin": "; ".join(sorted(set(checkpoints.values()))),
        **publication_attributes(job),
    }


def _synthetic_inputs(job: Job) -> str:
    """Return the products whose archives are marked as synthetic, as text; archives may have been moved away."""
    folders = job.run_file.archives.by_product
    marked = [product for product, folder in folders.items() if is_synthetic(folder)]
    absent = [product for product, folder in folders.items() if not folder.is_dir()]
    unknown = f"unknown for {', '.join(absent)}, whose archives are not there" if absent else ""
    return "; ".join(text for text in (", ".join(marked), unknown) if text) or "none"
