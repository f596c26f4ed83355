#!/usr/bin/env bash
# Use the image as docker/README.md says: import every optional dependency, and run the demo's first year as a user of
# no name on a mounted folder. Usage: docker/check.sh [TAG]
set -euo pipefail
tag=${1:-agcarbon}
buildah() { command buildah --storage-driver vfs "$@"; }

container=$(buildah from --pull-never "$tag")
data=$(mktemp --directory)
trap 'buildah rm "$container" > /dev/null; rm -rf "$data"' EXIT
chown 1000:1000 "$data"
inside() { buildah run --isolation chroot --user 1000:1000 --volume "$data:/data" "$container" -- "$@"; }

inside python -c '
import importlib, os
assert os.getuid() == 1000
for name in ("eccodes", "boto3", "earthaccess", "urllib3", "bokeh", "dask_jobqueue", "pyarrow"):
    importlib.import_module(name)
print("all optional dependencies are there")
'
inside agcarbon --version
inside agcarbon demo archives /data/archives
inside agcarbon init demo -o /data/run.toml
inside agcarbon ingest /data/run.toml
inside agcarbon run /data/run.toml --years 2010
inside agcarbon audit /data/run.toml --years 2010
inside agcarbon export cog /data/run.toml --years 2010
[ "$(stat --format %u "$data/exports/cog/catalog.json")" = 1000 ]
buildah images --format '{{.Name}} {{.Size}}' "$tag"
