"""Building and trying the images of the Dockerfile without a container engine."""
