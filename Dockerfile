# A training image for hosts with NVIDIA GPUs (driver and NVIDIA Container Toolkit on the host).
#
# Not built and not run so far: the project is developed on a machine without a container engine.
# It was read, and checked with hadolint; report what does not work.
#
#   docker build -t alexnet-tf .
#   docker run --gpus all --shm-size=1g \
#     -v /path/to/dataset:/data:ro -v alexnet-runs:/runs -v alexnet-cuda-cache:/cuda-cache \
#     alexnet-tf --config=configs/alexnet_paper.py --config.data_dir=/data --workdir=/runs/paper
#
# Other commands: docker run ... --entrypoint alexnet-evaluate alexnet-tf --workdir=/runs/paper
#
# A slim Python with tensorflow[and-cuda], because TensorFlow's own -gpu images of recent releases
# do not find the GPUs until the CUDA packages are installed over them.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/alexnet-tf

# The dependencies first and alone, so that a change of the code does not download 3 GB again.
COPY constraints/main.txt constraints/main.txt
RUN pip install "tensorflow[and-cuda]" -c constraints/main.txt

COPY setup.py pyproject.toml README.md LICENSE ./
COPY alexnet_common alexnet_common
COPY alexnet_tf alexnet_tf
COPY data_prep data_prep
COPY configs configs
RUN pip install ".[gpu]" -c constraints/main.txt

# Kernels that the driver compiles for a GPU newer than the wheel's are kept over restarts here;
# without it each start may spend minutes on them.
ENV CUDA_CACHE_PATH=/cuda-cache \
    CUDA_CACHE_MAXSIZE=4294967296
RUN useradd --create-home --uid 1000 trainer \
    && mkdir -p /cuda-cache /runs \
    && chown trainer:trainer /cuda-cache /runs
VOLUME ["/cuda-cache", "/runs"]

# Recipes are named as in the README: --config=configs/NAME.py.
USER 1000
ENTRYPOINT ["python", "-m", "alexnet_tf.train"]
