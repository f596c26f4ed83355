#!/usr/bin/env bash
# Build the CPU image without a Docker daemon and without a registry: buildah, over a base that debootstrap makes.
# Usage: docker/build.sh [TAG]. WHEELS may name a folder of wheels, such as one of PyTorch's builds for CPUs; pip then
# takes PyTorch from there or from its default index.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-agcarbon}
buildah() { command buildah --storage-driver vfs "$@"; }

if ! buildah inspect --type image debian-bookworm > /dev/null 2>&1; then
    folder=$(mktemp --directory)
    trap 'rm -rf "$folder"' EXIT
    debootstrap --variant=minbase --include=ca-certificates bookworm "$folder/root" > /dev/null
    chmod 755 "$folder/root"
    # As a layer of its own; the certificates are those of this machine, whose registries may have their own.
    cp /etc/ssl/certs/ca-certificates.crt "$folder/root/etc/ssl/certs/ca-certificates.crt"
    rm -rf "$folder"/root/var/lib/apt/lists/* "$folder"/root/var/cache/apt/archives/*.deb
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$folder/root" / > /dev/null
    buildah commit --quiet "$container" debian-bookworm > /dev/null
    buildah rm "$container" > /dev/null
fi
wheels=()
if [ -n "${WHEELS:-}" ]; then
    wheels=(--volume "$WHEELS:/wheels:ro" --build-arg FIND_LINKS=/wheels --build-arg TORCH_INDEX=)
fi
buildah bud --isolation chroot --format docker --build-arg BASE=localhost/debian-bookworm "${wheels[@]}" \
    --file docker/Dockerfile --tag "$tag" .
