#!/usr/bin/env bash
# How the files beside this one were made: by the commands of version 0.1.0.
#   git worktree add OLD 90dd411 && OLD=OLD tests/data/version_0_1_0/make.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")"
export PYTHONPATH=$OLD CUDA_VISIBLE_DEVICES=-1
python=$1
"$python" draw_images.py images
for store in jpeg uint8 centered; do
  "$python" -m data_prep.build_tfrecords --train=images/train --validation=images/validation \
    --image_size=8 --store=$store --workers=1 --output_dir=dataset_$store
done
train() {
  "$python" -m alexnet_tf.train --config=cuda_convnet --config.layers=tiny.cfg \
    --config.num_classes=3 --config.data_dir=dataset_jpeg --config.network.input_size=6 \
    --config.batch_size=3 --config.learning_rate.initial=1e-5 --config.evaluation.batch_size=3 \
    --config.log.tensorboard=false "$@"
}
# A run that stopped after two of three epochs, and what it would have come to.
train --config.train_epochs=3 --config.train_steps=6 --workdir=run
train --config.train_epochs=3 --workdir=whole
mv whole/checkpoints/step-000000009.npz after_step_9.npz
rm -r whole
"$python" -m alexnet_tf.evaluate --workdir=run --views=10 --output=evaluation.json
"$python" -m alexnet_tf.export --workdir=run --output_dir=export
"$python" -m alexnet_tf.predict --model=export images/validation/*/0.png >predictions.txt
tar -cJf export.tar.xz export
rm -r export
find . -name .lock -delete
