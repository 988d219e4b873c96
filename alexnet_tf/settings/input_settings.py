"""Settings of the input: which images a network sees, and how its pixels are prepared."""

from __future__ import annotations

from alexnet_tf.settings.setting import AUTO, Resume, Setting

INPUT = (
    Setting("input.random_crop", "Random crops of the network's input size (section 4.1)."),
    Setting("input.random_flip", "Random mirror images (section 4.1)."),
    Setting(
        "input.crop_chunk",
        "So many consecutive images of an epoch share one crop offset and one flip; 1: no sharing, "
        "as in the paper. The 2012 code drew them for 32 at a time.",
        least=1,
    ),
    Setting(
        "input.prefetch_batches",
        "Batches prepared ahead of the one that is being trained on.",
        Resume.FREE,
        least=0,
    ),
    Setting(
        "input.threads",
        "Threads that read and decode.",
        Resume.FREE,
        least=0,
        zero="as many as the machine has cores",
    ),
    Setting(
        "input.cache",
        "Where images of the training set stay once they were decoded.",
        Resume.FREE,
        choices={
            "auto": AUTO,
            "none": "nowhere",
            "memory": "in this process' memory: images x size x size x 3 bytes",
            "device": "in the device's memory, so that batches only name their images; for one "
            "device and a small set",
        },
    ),
)

PREPROCESS = (
    Setting(
        "preprocess.mean",
        "What is subtracted from the pixels.",
        choices={
            "image": "the centre crop of the training set's mean image, as the 2012 code did for "
            "every crop offset",
            "channel": "the training set's three channel means",
            "none": "nothing",
            "torchvision": "the three numbers that go with torchvision's weights",
            "caffe": "the three numbers that go with Caffe's weights",
        },
    ),
    Setting(
        "preprocess.color_noise",
        "Colour noise along the principal components of RGB (section 4.1).",
        choices={
            "none": "no noise",
            "paper": "draws times the eigenvalues of the covariance of pixels in [0, 1]",
            "code2012": "draws times their square roots, and the image divided by 1 + stddev "
            "afterwards, as the 2012 code did",
            "popular": "draws times fb.resnet.torch's constants, which many programs copied: "
            "ImageNet's eigenvalues in [0, 1], whatever the dataset",
        },
    ),
    Setting("preprocess.color_noise_stddev", "Standard deviation of the noise's draws.", least=0),
)
