"""When learning rates change: the plateau rule, planned schedules, the diary of 2012."""
