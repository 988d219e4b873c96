# Images to train and serve with: docs/containers.md.
#
#   docker build -t alexnet-tf .                                       # GPU hosts
#   docker build -t alexnet-tf:cpu --build-arg VARIANT=cpu .
#   docker build -t alexnet-tf:addons --build-arg VARIANT=addons .     # TensorFlow 2.15, addons
#   docker run --rm alexnet-tf                                         # lists the commands
#
# A slim Python with TensorFlow's wheels, because TensorFlow's own -gpu images of recent releases
# do not find the GPUs until the CUDA packages are installed over them. Pin the base by its digest
# where builds must be repeatable: --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm
ARG VARIANT=gpu

# What differs between the variants.
FROM ${BASE} AS variant-gpu
ENV ALEXNET_TENSORFLOW=tensorflow EXTRAS=gpu,serve STACK=main ALEXNET_REQUIRE_GPU=1
FROM ${BASE} AS variant-cpu
ENV ALEXNET_TENSORFLOW=tensorflow-cpu EXTRAS=serve STACK=main ALEXNET_REQUIRE_GPU=0
FROM ${BASE} AS variant-addons
ENV ALEXNET_TENSORFLOW=tensorflow-cpu EXTRAS=addons,serve STACK=addons ALEXNET_REQUIRE_GPU=0

# The wheel of this checkout, and what it requires.
FROM variant-${VARIANT} AS package
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# pip from outside the environment, so that the environment comes without one.
RUN python3 -m venv --without-pip /opt/venv
COPY setup.py pyproject.toml README.md LICENSE ./
COPY alexnet_common alexnet_common
COPY alexnet_tf alexnet_tf
COPY data_prep data_prep
COPY configs configs
COPY deploy/requirements.py deploy/requirements.py
RUN python3 -m pip wheel --no-deps --wheel-dir /wheel . \
    && python3 -m pip --python /opt/venv install --no-deps --prefix /package /wheel/*.whl \
    && python3 deploy/requirements.py /wheel/*.whl "$EXTRAS" > /requirements.txt

# The dependencies alone: while the list stays the same, a change of the code leaves this stage, and
# its layer of the image, as they are.
FROM variant-${VARIANT} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints constraints
COPY --from=package /requirements.txt requirements.txt
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv install -r requirements.txt -c "constraints/$STACK.txt" \
    # Headers to compile operations of one's own against: 0.3 GB, and there is no compiler.
    && rm -r /opt/venv/lib/python3*/site-packages/tensorflow/include
RUN python3 -m venv /opt/sbom-tool \
    && /opt/sbom-tool/bin/pip install cyclonedx-bom \
    && /opt/sbom-tool/bin/cyclonedx-py environment --output-reproducible \
       --output-file /opt/venv/sbom.cdx.json /opt/venv/bin/python

# What is shipped: no pip in the environment, no compiler, no cache.
FROM variant-${VARIANT}
ARG BASE
ARG VARIANT
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="alexnet-tf" \
      org.opencontainers.image.description="AlexNet as it ran in 2012: TensorFlow trainer, converter and server ($VARIANT)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$BASE"
RUN useradd --create-home --uid 1000 trainer \
    && mkdir -p /cuda-cache /runs /data \
    && chown trainer:trainer /cuda-cache /runs /data
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=package /package /opt/venv
COPY deploy/healthcheck.py /opt/alexnet-tf/healthcheck.py
# Recipes are named as in the README: --config=configs/NAME.py.
COPY configs /opt/alexnet-tf/configs
WORKDIR /opt/alexnet-tf
# Nothing is written outside of the volumes and /tmp. Kernels that the driver compiles for a GPU
# newer than the wheel's are kept over restarts in /cuda-cache; without it each start may spend
# minutes on them.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CUDA_CACHE_PATH=/cuda-cache \
    CUDA_CACHE_MAXSIZE=4294967296
VOLUME ["/cuda-cache", "/runs"]
USER 1000
# Of a server its /healthz; any other command counts as healthy while it runs.
HEALTHCHECK --interval=30s --timeout=10s --start-period=300s --retries=3 \
  CMD ["/opt/venv/bin/python", "/opt/alexnet-tf/healthcheck.py"]
ENTRYPOINT ["alexnet-tf"]
CMD ["--help"]
