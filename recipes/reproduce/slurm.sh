#!/bin/bash
# A reproduction on one node of a SLURM cluster, from the root of a clone:
#
#   sbatch recipes/reproduce/slurm.sh recipes/reproduce/llava-1.5-7b.yaml                     # 8 GPUs
#   sbatch --gpus-per-node=1 recipes/reproduce/slurm.sh recipes/reproduce/llava-1.5-7b.yaml   # 1 GPU
#
# Every step starts `accelerate launch` with as many processes as there are GPUs. A job that was cut off by its time or
# by another job is submitted again as it is: finished steps are skipped, and trainings go on from their last checkpoint.
# Where nodes reach no network, get the sets and the base on the login node first (--only get-..., and --only convert).
#SBATCH --job-name=safe-llava
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail

config=${1:?"Name a file, such as recipes/reproduce/llava-1.5-7b.yaml."}
shift
# shellcheck source=/dev/null
source "${VENV:-.venv}/bin/activate"
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / SLURM_GPUS_ON_NODE))
# One task on the node: accelerate starts the processes, not srun.
exec srun --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  python -m recipes.reproduce --config "$config" --gpus "$SLURM_GPUS_ON_NODE" "$@"
