#!/usr/bin/env bash
# `make demo`: from no data at all to a network that labels an image, with the commands a user
# would type. Each command recognises work that is already done, so this may be run again.
#   tools/demo.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
steps=6 step=0

# announce TEXT RESULT COMMAND...: says what comes, where its result will lie, and runs it. The JSON
# that a command prints for scripts goes to /dev/null where a person has read the same on stderr.
announce() {
  step=$((step + 1))
  printf '\n[%d/%d] %s\n      result: %s\n      python -m %s\n\n' \
    "$step" "$steps" "$1" "$2" "${*:3}" >&2
  "$python" -m "${@:3}" || {
    status=$?
    printf '\nmake demo: step %d (%s) failed; to start afresh, remove the folder demo\n' "$step" "$3" >&2
    exit "$status"
  }
}

announce "Draw the demo images: 10 classes that differ in shape and texture, not in colour" \
  "demo/images/{train,validation}/CLASS/*.JPEG" \
  data_prep.make_demo_images --output_dir=demo/images
announce "Convert the images to TFRecords, and compute the mean image and the colour statistics" \
  "demo/dataset/ (dataset.json says what is in it)" \
  data_prep.build_tfrecords --train=demo/images/train --validation=demo/images/validation \
  --image_size=112 --output_dir=demo/dataset
announce "Train a small network of the paper's kind (a few minutes on two cores)" \
  "demo/run/ (report.html, metrics.jsonl, checkpoints/; tensorboard --logdir demo/run/tensorboard)" \
  alexnet_tf.train --config=configs/demo.py --config.data_dir=demo/dataset --workdir=demo/run \
  >/dev/null
announce "Measure the error on held-out images, with 1 view and with the paper's 10 views of each" \
  "printed below, and demo/evaluation.json" \
  alexnet_tf.evaluate --workdir=demo/run --views=10 --output=demo/evaluation.json
announce "Export the network as a SavedModel that takes JPEG bytes" \
  "demo/export/" \
  alexnet_tf.export --workdir=demo/run --output_dir=demo/export >/dev/null
images=(demo/images/validation/*/*)
image=${images[0]}
announce "Let the exported model label an image it has never seen: $image" \
  "printed below; the right answer is $(basename "$(dirname "$image")")" \
  alexnet_tf.predict --model=demo/export "$image"
printf '\nDone. Everything the demo made is under demo/; remove that folder to start afresh.\n' >&2
printf 'What the run came to, on one page for a browser: demo/run/report.html\n' >&2
