#!/bin/bash
# Scheduler and workers inside one job: sbatch docs/clusters/slurm-job.sh run.toml
# The run file has `scheduler = "scheduler.json"` in [execution]; a relative name starts from the run file's folder, so
# that this script is submitted from there.
#SBATCH --job-name=agcarbon
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=04:00:00
set -euo pipefail

run_file=${1:?usage: sbatch slurm-job.sh run.toml}
scheduler_file=scheduler.json
workers=${SLURM_CPUS_PER_TASK:?} # on each node
memory=$((SLURM_MEM_PER_NODE / workers))MiB

export OMP_NUM_THREADS=1
rm -f "$scheduler_file"
dask scheduler --scheduler-file "$scheduler_file" --no-dashboard &
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
until [ -s "$scheduler_file" ]; do sleep 1; done
# One srun for all nodes: on each, a nanny for every worker, which starts it again when it dies.
srun dask worker --scheduler-file "$scheduler_file" \
    --nworkers "$workers" --nthreads 1 --memory-limit "$memory" --no-dashboard &
agcarbon run "$run_file"
