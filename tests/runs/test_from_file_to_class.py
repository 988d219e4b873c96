"""A file that the exported model reads is the image that the network was trained on."""

from __future__ import annotations

import numpy as np

from tests.helpers import finished_run
from tests.helpers.evaluated import evaluate
from tests.serving.test_squares import encoded, photograph


def test_export_on_files_equals_the_evaluator_on_their_conversion(tmp_path):
    import tensorflow as tf

    from alexnet_common import command
    from alexnet_tf.runs import restore
    from alexnet_tf.serving import saved_model
    from data_prep import build_tfrecords

    files = {
        "cat/landscape.JPEG": encoded(photograph(60, 90)),
        "cat/portrait.JPEG": encoded(photograph(97, 41)),
        "cat/small.JPEG": encoded(photograph(20, 25)),
        "dog/grey.JPEG": encoded(photograph(50, 50, 1), mode="L"),
        "dog/cmyk.JPEG": encoded(photograph(70, 55), mode="CMYK"),
        "dog/png.JPEG": encoded(photograph(38, 44), "PNG"),
        "emu/narrow.JPEG": encoded(photograph(300, 2)),
    }
    for name, content in files.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    flags = [f"--train={tmp_path}/images", f"--output_dir={tmp_path}/data", "--image_size=38"]
    status = command.call(
        build_tfrecords.define_flags,
        build_tfrecords.main,
        build_tfrecords.__doc__,
        [*flags, "--store=uint8", "--workers=1"],
    )
    assert status == 0
    workdir = finished_run.make(tmp_path / "run", tmp_path / "data")
    expected = evaluate(workdir, 10, split="train")
    run = restore.load(str(workdir))
    saved_model.export(run, str(tmp_path / "model"))
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    names = []
    for shard in sorted((tmp_path / "data").glob("train-*-of-*")):
        for record in tf.data.TFRecordDataset(str(shard)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            names.append(feature["image/filename"].bytes_list.value[0].decode())
    contents = [next(files[key] for key in files if key.endswith(name)) for name in names]
    assert sorted(contents) == sorted(files.values())
    found = signature(image_bytes=tf.constant(contents))["probabilities"].numpy()
    np.testing.assert_allclose(found, expected.probabilities, rtol=1e-5, atol=1e-7)
    assert np.ptp(found, axis=0).max() > 0.1  # The files are not all alike to the network.
