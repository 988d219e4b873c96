"""The mean colours that networks of other programs subtract."""

MEANS = {
    "torchvision": (123.675, 116.28, 103.53),
    "caffe": (122.67891434, 116.66876762, 104.00698793),
}
"""What they subtract from pixels: RGB, in grey levels.

torchvision's transforms say 0.485, 0.456, 0.406 of 255; Caffe's are the channels' means of its
`ilsvrc_2012_mean.npy`, as its examples take them.
"""
