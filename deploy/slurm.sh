#!/bin/bash
# Training on several machines under Slurm. Adapt the lines below and the paths, then:
#
#   sbatch deploy/slurm.sh --config=configs/alexnet_paper.py --config.data_dir=DATASET --workdir=RUN
#
# The dataset and the work folder must lie on a file system that all nodes share. The workers read
# their addresses from Slurm's own variables. On SIGTERM they save and exit with 75; the job resumes
# from its last checkpoint when it runs again:
# - preempted, or a node lost: Slurm puts it back into the queue itself (--requeue);
# - near its time limit, or a worker died: this script does, at most MAX_RESTARTS times;
# - scancel: it stays cancelled. Where preemption cancels jobs too (PreemptMode=CANCEL), export
#   REQUEUE_AFTER_SIGTERM=yes; then only scancel --signal=KILL --full stops it for good.
# Checked by tests/test_deploy.py with stand-ins for srun and scontrol; not run on a cluster so far.
#
#SBATCH --job-name=alexnet
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=alexnet-%j.log
# This many seconds before the time limit, SIGUSR1 to this script (B:), which passes on SIGTERM.
#SBATCH --signal=B:USR1@180

set -u
MAX_RESTARTS=${MAX_RESTARTS:-20}
REQUEUE_AFTER_SIGTERM=${REQUEUE_AFTER_SIGTERM:-no}
PYTHON=${PYTHON:-python}

# Slurm sends SIGTERM to the workers as well; this script must outlive it to see how they end.
step=
limit=no
sent=no
trap : TERM
trap 'limit=yes; save' USR1

# Once: a second SIGTERM would make the workers leave without saving.
save() {
  if [ "$limit" = yes ] && [ "$sent" = no ] && [ -n "$step" ]; then
    sent=yes
    echo "time limit: saving"
    kill -TERM "$step"
  fi
}

# One dead worker ends the others, which could only wait for it; --label marks the lines.
srun --kill-on-bad-exit=1 --label --distribution=block --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  "$PYTHON" -m alexnet_tf.train --config.distribution=multi_worker "$@" &
step=$!
# The signal may have come before the step had a number.
save

# Not `wait` alone: a signal ends it early, and bash has been seen to answer -1 for a step that ends
# in the same moment. Traps run between the sleeps.
while kill -0 "$step" 2>/dev/null; do
  sleep 1
done
wait "$step"
status=$?

requeue=$REQUEUE_AFTER_SIGTERM
case $status in
  0) echo "done" ;;
  2) echo "wrong usage: not requeued"; requeue=no ;;
  75)
    echo "stopped by a signal after saving"
    [ "$limit" = yes ] && requeue=yes
    ;;
  143) echo "ended by SIGTERM before there was anything to save" ;;
  *) echo "failed with status $status"; requeue=yes ;;
esac
if [ "$status" -ne 0 ] && [ "$requeue" = yes ]; then
  if [ "${SLURM_RESTART_COUNT:-0}" -lt "$MAX_RESTARTS" ]; then
    echo "requeued: resumes from the last checkpoint"
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "restarted ${SLURM_RESTART_COUNT:-0} times: not requeued (MAX_RESTARTS=$MAX_RESTARTS)"
  fi
fi
exit "$status"
