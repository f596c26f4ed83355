#!/usr/bin/env bash
# The last stage of .ci/run: build the CPU image on a new machine, use it, and leave nothing of it on the disk. As root,
# after `make demo`: PyTorch comes from where `.venv` has it from.
set -euo pipefail
cd "$(dirname "$0")/.."

have_tools() { command -v buildah && command -v debootstrap; } > /dev/null
if ! have_tools; then
    { apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends buildah debootstrap; } || true
fi
if ! have_tools; then
    echo "image not built: buildah and debootstrap are missing, and apt-get could not install them"
    exit 0
fi

folder=$(mktemp --directory)
parent=$(dirname "$folder")
free_mb() { df --output=avail --block-size=1MB "$parent" | tail --lines=1; }
before=$(free_mb)
while sleep 2; do free_mb; done > "$folder/free" &
sampler=$!
clean() { # also after a failure; processes in containers have mounts of their own, which ended with them
    kill "$sampler" || true
    rm -rf "$folder"
    echo "free disk: $before MB before, $(free_mb) MB after"
}
trap clean EXIT

mkdir "$folder/tmp" "$folder/wheels"
export TMPDIR=$folder/tmp WHEELS=$folder/wheels CONTAINERS_STORAGE_CONF=$folder/storage.conf
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$folder/storage" "$folder/run" > "$CONTAINERS_STORAGE_CONF"
.venv/bin/pip download --quiet --no-deps --dest "$WHEELS" "$(grep '^torch==' constraints.txt)"

began=$SECONDS
docker/build.sh agcarbon
built=$SECONDS
docker/check.sh agcarbon
echo "image: built in $((built - began)) s, used in $((SECONDS - built)) s"
echo "disk: at most $((before - $(sort --numeric-sort "$folder/free" | head --lines=1))) MB"
