#!/usr/bin/env bash
# Does bfloat16 change results? CIFAR-10, two networks, three seeds each in both precisions.
# Usage: tools/compare_precision.sh PYTHON DATASET RUNS [FLAG ...]
# Prints the last validation error of every run; bfloat16 may become a default where its errors lie
# within the spread of float32's. On an H200-class GPU this takes about ten minutes (not run yet).
set -euo pipefail
python=$1 data=$2 runs=$3
shift 3
for recipe in cifar10_quick cifar10_alexnet; do
  for precision in float32 mixed_bfloat16; do
    for seed in 0 1 2; do
      workdir=$runs/$recipe-$precision-$seed
      "$python" -m alexnet_tf.train --config="$recipe" --config.data_dir="$data" \
        --config.precision="$precision" --config.seed="$seed" --workdir="$workdir" "$@" >/dev/null
      error=$("$python" -c 'import json, sys
epochs = [line for line in map(json.loads, open(sys.argv[1])) if "val_top_1_error" in line]
print(epochs[-1]["val_top_1_error"])' "$workdir/metrics.jsonl")
      printf '%s\t%s\tseed %s\t%s\n' "$recipe" "$precision" "$seed" "$error"
    done
  done
done
