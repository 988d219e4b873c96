# A fresh clone needs only make and a Python; see `make help`.
# Environments are made on first use and refreshed when the packaging files change.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-addons campaign mutants fuzz coverage docs lint env env-addons
.PHONY: clean clean-env gpu-check image-check more-extras

# An activated environment or a PYTHONPATH of the calling shell must not decide what runs here.
unexport VIRTUAL_ENV
unexport PYTHONHOME
unexport PYTHONPATH

# Extra packages beside the tools of development, such as EXTRAS=gpu on a machine with NVIDIA GPUs.
EXTRAS ?=
# Processes that share the tests; half of the list each, the idle one takes over from the other.
JOBS ?= 2
PYTEST := -m pytest --numprocesses=$(JOBS) --dist=worksteal --durations=15
comma := ,
MAIN := .venv/bin/python
ADDONS := .venv-addons/bin/python
PACKAGING := setup.py tools/environment.sh
# Those that .venv was made without, as the file that marks it as complete says.
LACKING := $(filter-out $(shell cat .venv/installed 2>/dev/null),$(subst $(comma), ,$(EXTRAS)))

help:  ## List what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; \
	  do printf '  make %-12s %s\n' "$$name" "$$text"; done
	@echo "  PYTHON=/path/to/python chooses the interpreter of a new environment;"
	@echo "  EXTRAS=gpu adds the CUDA packages to it; JOBS=4 runs the tests on four processes (2)."

demo: .venv/installed  ## Images, TFRecords, training, evaluation, export, prediction: under demo/
	@tools/demo.sh $(MAIN)

test: .venv/installed  ## Run the fast tests
	$(MAIN) $(PYTEST)

test-slow: .venv/installed  ## Run the slow tests (whole commands, several processes)
	$(MAIN) $(PYTEST) -m slow

test-addons: .venv-addons/installed  ## Run the fast tests on TensorFlow 2.15 + tensorflow-addons
	$(ADDONS) $(PYTEST) -m "not slow or addons" --second-stack

gpu-check: .venv/installed  ## Check and measure this machine's GPU; ten minutes, report in gpu-check.md
	$(MAIN) -m tools.gpu_check --output=gpu-check.md

# Of cpu, gpu and addons: make image-check VARIANTS=cpu,gpu,addons
VARIANTS ?= cpu

image-check: .venv/installed  ## Build the Dockerfile's images and try them (root, buildah, debootstrap)
	$(MAIN) -m tools.image_check --variants=$(VARIANTS)

campaign: .venv/installed  ## Kill a run 50 times at random moments; it must end with the same bits
	$(MAIN) -m tests.campaign --kills=50

mutants: .venv/installed  ## Change 200 places of the core, one at a time; tests must notice 95%
	$(MAIN) -m tools.mutants

fuzz:  ## Throw changed files at everything that reads files of others; ten CPU minutes per target
	@$(MAKE) --no-print-directory env EXTRAS=$(if $(EXTRAS),$(EXTRAS)$(comma))fuzz
	$(MAIN) -m tests.fuzz --cpu_seconds=600

coverage:  ## Which lines the fast tests run, commands that they start included
	@$(MAKE) --no-print-directory env EXTRAS=$(if $(EXTRAS),$(EXTRAS)$(comma))coverage
	$(MAIN) -m coverage run $(PYTEST)
	$(MAIN) -m coverage combine -q
	$(MAIN) -m coverage report --skip-covered

docs:  ## Build the site of the docs into site/
	@$(MAKE) --no-print-directory env EXTRAS=$(if $(EXTRAS),$(EXTRAS)$(comma))docs
	NO_MKDOCS_2_WARNING=1 $(MAIN) -m mkdocs build --quiet --site-dir site
	@echo "open site/index.html; its search needs a server: python3 -m http.server --directory site"

lint: .venv/installed  ## Check style (ruff) and types (mypy)
	@status=0; $(MAIN) -m ruff check . || status=1; $(MAIN) -m ruff format --check . || status=1; \
	  $(MAIN) -m mypy || status=1; exit $$status

env: .venv/installed  ## Create the environment .venv (TensorFlow 2.21)
env-addons: .venv-addons/installed  ## Create the environment .venv-addons (needs Python 3.11)

more-extras:

.venv/installed: constraints/main.txt $(PACKAGING) $(if $(LACKING),more-extras)
	@tools/environment.sh .venv dev$(if $(EXTRAS),$(comma)$(EXTRAS)) $< 3.11 3.12 3.13

.venv-addons/installed: constraints/addons.txt $(PACKAGING)
	@tools/environment.sh .venv-addons addons,test $< 3.11

clean:  ## Remove the demo, build products and caches; keep the environments
	rm -rf demo build dist site fuzz-findings .coverage* *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find alexnet_common alexnet_tf data_prep configs tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-env:  ## Remove the environments
	rm -rf .venv .venv-addons
