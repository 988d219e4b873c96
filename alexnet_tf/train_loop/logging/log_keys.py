"""Names in the logs that the loop hands to its callbacks, by what they are."""

# Where a run stands and what it was measured on: no curves.
PLACES = ("epoch", "step", "val_count")
# Keras hands all numbers on as floats.
INTEGERS = (*PLACES, "skipped_updates")
# Measured times differ from run to run; everything else in the logs is determined by the seed.
TIMING = ("images_per_second", "data_wait", "train_seconds", "evaluation_seconds")
# Notes for callbacks; Keras' rule adds `lr` beside `learning_rate`.
NOTES = ("fresh", "lr", "seconds_left")
