#!/bin/sh
# Tries the paper's claims on CIFAR-10 with one GPU, the most important ones first, for so many
# minutes, and leaves the ledger, its pages and the curves of all runs in a folder.
#
#   tools/claims_on_gpu.sh cifar10_jpeg.tar.gz OUTPUT_DIR [MINUTES]
#
# The archive holds cifar10_jpeg/train/CLASS/*.jpg and cifar10_jpeg/test/CLASS/*.jpg. Variables:
# PYTHON (python3), PARALLEL (12: runs at once), WORK (a new folder under /tmp: data and runs),
# ALEXNET_COMMIT (of a copy without its history). Started again with the same WORK, it goes on.
set -eu
archive=$1 output=$2 minutes=${3:-5}
python=${PYTHON:-python3}
work=${WORK:-$(mktemp -d /tmp/claims.XXXXXX)}
began=$(date +%s)
mkdir -p "$output" "$work"

convert() { # folder of images, dataset
    "$python" -m data_prep.build_tfrecords --train="$1/train" --validation="$1/test" \
        --image_size=32 --output_dir="$2" >"$2.log" 2>&1
}
if [ ! -d "$work/cifar10" ]; then
    tar xzf "$archive" -C "$work"
    # For pretraining: the first five classes by name, and the last five.
    for split in train test; do
        mkdir -p "$work/first/$split" "$work/last/$split"
        number=0
        for class in "$work/cifar10_jpeg/$split"/*; do
            number=$((number + 1))
            if [ $number -le 5 ]; then half=first; else half=last; fi
            cp -rl "$class" "$work/$half/$split"
        done
    done
    for half in first last; do convert "$work/$half" "$work/cifar5_$half" & done
    convert "$work/cifar10_jpeg" "$work/cifar10"
    wait
fi
echo "data: $(($(date +%s) - began)) s"

# Nets whose runs are long come before claims that are many short runs.
claims="lrn relu net_18 crops_flips ten_views dropout dropout_time weight_decay bias_init ensemble overlap \
net_26 neighbours ensemble_weights depth columns color_noise schedules specialisation"
claims_until() { # minutes that are left, further flags
    left=$(echo "$minutes $began $(date +%s)" | awk '{ print $1 - ($3 - $2) / 60 }')
    # Other images, so a command of its own beside the other; both write to one ledger.
    "$python" -m alexnet_tf.reproduce pretraining --data_dir="$work/cifar5_last" \
        --pretraining_data_dir="$work/cifar5_first" --output_dir="$work/claims" --budget=gpu \
        --deadline_minutes="$left" "$@" >"$output/pretraining.json" 2>>"$output/claims.log" &
    # shellcheck disable=SC2086
    "$python" -m alexnet_tf.reproduce $claims --data_dir="$work/cifar10" \
        --output_dir="$work/claims" --budget=gpu --parallel="${PARALLEL:-12}" \
        --deadline_minutes="$left" --extend "$@" >"$output/verdicts.json" 2>>"$output/claims.log"
    status=$?
    wait $!
    "$python" -m alexnet_tf.reproduce --pages --output_dir="$work/claims"
    return $status
}
# Whoever ends this script before its time finds the rows so far.
(while sleep 10; do cp "$work/claims/ledger.jsonl" "$output" || true; done) >/dev/null 2>&1 &
copier=$!
trap 'kill $copier 2>/dev/null || true' EXIT
claims_until || echo "some runs failed: $output/claims.log"
# Where nothing at all came to its end, XLA is the first suspect.
soon=$(echo "$minutes $began $(date +%s)" | awk '{ print ($1 - 1 < ($3 - $2) / 60) }')
if [ ! -s "$work/claims/ledger.jsonl" ] && [ "$soon" = 0 ]; then
    echo "no row yet: once more without XLA"
    claims_until --set=jit_compile=false || echo "some runs failed: $output/claims.log"
fi

for file in ledger.jsonl claims.md ledger.html; do
    if [ -f "$work/claims/$file" ]; then cp "$work/claims/$file" "$output"; fi
done
if [ -d "$work/claims/runs" ]; then
    (cd "$work/claims/runs" && find . -name metrics.jsonl -o -name config.json -o -name '*.log' \
        -o -name '*.trial.txt') | tar czf "$output/runs.tar.gz" -C "$work/claims/runs" -T -
fi
echo "done: $(($(date +%s) - began)) s; $(grep -c . "$output/ledger.jsonl" || true) rows"
