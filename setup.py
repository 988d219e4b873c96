"""The package definition. Tool settings are in pyproject.toml, tested versions in constraints/."""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

# The recipes live in the top-level folder configs/, where a reader of the repository looks for
# them; a wheel carries them inside the package, so that it owns no top-level name `configs`.
RECIPES = "alexnet_tf.configs"

# An extra can narrow a requirement but not lower it, so the requirement admits both tested stacks
# and nothing between them: without an extra pip takes the newest TensorFlow (which itself demands
# Keras 3.12 or newer), with `addons` the 2.15.1 that tensorflow-addons was built for.
BETWEEN_THE_STACKS = ",".join(f"!=2.{minor}.*" for minor in range(16, 21))

# The same TensorFlow also comes under other names, such as tensorflow-cpu, which is a gigabyte
# smaller: ALEXNET_TENSORFLOW=tensorflow-cpu pip install .
TENSORFLOW = os.environ.get("ALEXNET_TENSORFLOW", "tensorflow")

# Where the commands' --version finds it too.
COMMON = Path(__file__).parent / "alexnet_common" / "__init__.py"
VERSION = re.findall(r'^__version__ = "(.+)"$', COMMON.read_text(encoding="utf-8"), re.MULTILINE)[0]

# Extras whose tests `dev` is to run.
# The web server of alexnet_tf.serve.
SERVING = [
    "starlette>=0.40",
    "uvicorn>=0.30",
    "python-multipart>=0.0.9",
    "prometheus-client>=0.20",
]
# Exact search of alexnet_tf.retrieve in large sets.
RETRIEVAL = ["faiss-cpu>=1.8"]
# ImageNet as Parquet, as Hugging Face keeps it (the trainer's results as Parquet: "columns").
PARQUET = ["pyarrow>=15"]
# Conversion on an existing engine; with TensorFlow 2.21 it meets at protobuf 6.
BEAM = ["apache-beam>=2.70", "protobuf<7"]
# Features as Zarr, predictions as Parquet.
COLUMNS = ["zarr>=3", "pyarrow>=15"]
# Schemas of Kubernetes, JobSet and compose, for the files under deploy/.
SCHEMAS = ["kubernetes-validate>=1.37", "kubeflow-trainer-api>=2", "check-jsonschema>=0.30"]
TESTING = ["pytest>=8", "pytest-xdist>=3", "hypothesis>=6", "scikit-learn>=1.4", "httpx>=0.27"]

setup(
    name="alexnet-tf",
    version=VERSION,
    description="AlexNet as it ran in 2012: a TensorFlow trainer with a TFRecord data pipeline",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",
    packages=[
        *find_packages(
            include=["alexnet_common", "alexnet_tf", "alexnet_tf.*", "data_prep", "data_prep.*"]
        ),
        RECIPES,
    ],
    package_dir={RECIPES: "configs"},
    # The mark of annotated packages (PEP 561), the classes of ILSVRC 2012, the template of a run's
    # report, the server's page.
    package_data={
        "alexnet_common": ["py.typed", "*.tsv"],
        "alexnet_tf": ["py.typed"],
        "data_prep": ["py.typed"],
        "alexnet_tf.analysis": ["report.html"],
        "alexnet_tf.serving.http": ["page.html"],
    },
    install_requires=[
        f"{TENSORFLOW}>=2.15.1,{BETWEEN_THE_STACKS},<2.22",
        "keras>=2.15",
        "tensorboard>=2.15",
        "numpy>=1.26",
        "absl-py>=2",
        "ml_collections>=1",
        "tqdm>=4.66",
        "google-crc32c>=1.5",
        "pillow>=10",
        # Figures and reports.
        "matplotlib>=3.8",
        "jinja2>=3.1",
        # Intervals and significance.
        "scipy>=1.11",
    ],
    extras_require={
        "gpu": [f"{TENSORFLOW}[and-cuda]"],
        "addons": [f"{TENSORFLOW}==2.15.1", "keras==2.15.*", "tensorflow-addons==0.23.0"],
        "serve": SERVING,
        "retrieve": RETRIEVAL,
        "columns": COLUMNS,
        "parquet": PARQUET,
        "beam": BEAM,
        "dask": [*BEAM, "dask>=2024.4", "distributed>=2024.4"],
        # python -m alexnet_tf.export --formats=onnx.
        "onnx": ["tf2onnx>=1.16"],
        "benchmark": ["opencv-python-headless>=4.8"],
        # make docs, make fuzz, make coverage.
        "docs": ["mkdocs-material>=9.7", "mkdocstrings[python]>=1"],
        "fuzz": ["atheris>=3"],
        "coverage": ["coverage>=7.10"],
        "test": TESTING,
        # setuptools and wheel: the tests build the wheel without reaching for a package index.
        # selenium: the test that opens TensorBoard in Chromium, where there is one.
        "dev": [
            *TESTING,
            *SERVING,
            *RETRIEVAL,
            *COLUMNS,
            *SCHEMAS,
            "ruff>=0.17",
            "mypy>=2",
            "selenium>=4",
            "setuptools>=77",
            "wheel",
        ],
    },
    entry_points={
        "console_scripts": [
            # All of the commands below, as `alexnet-tf NAME`.
            "alexnet-tf=alexnet_tf.__main__:run",
            "alexnet-train=alexnet_tf.train:run",
            "alexnet-evaluate=alexnet_tf.evaluate:run",
            "alexnet-predict=alexnet_tf.predict:run",
            "alexnet-analyze=alexnet_tf.analyze:run",
            "alexnet-compare=alexnet_tf.compare:run",
            "alexnet-report=alexnet_tf.report:run",
            "alexnet-export=alexnet_tf.export:run",
            "alexnet-serve=alexnet_tf.serve:run",
            "alexnet-features=alexnet_tf.features:run",
            "alexnet-figures=alexnet_tf.figures:run",
            "alexnet-retrieve=alexnet_tf.retrieve:run",
            "alexnet-weights=alexnet_tf.weights:run",
            "alexnet-launch=alexnet_tf.launch:run",
            "alexnet-reproduce=alexnet_tf.reproduce:run",
            "alexnet-benchmark=alexnet_tf.benchmark:run",
            "alexnet-build-tfrecords=data_prep.build_tfrecords:run",
            "alexnet-verify=data_prep.verify:run",
            "alexnet-show=data_prep.show:run",
            "alexnet-make-demo-images=data_prep.make_demo_images:run",
        ],
    },
)
