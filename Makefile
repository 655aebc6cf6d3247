# Everything here sets itself up: Python 3.11 and the package registries are all it takes.
.DEFAULT_GOAL := help
.PHONY: help setup system-packages demo test test-newest test-gr00t lint bench clean oracle-env

CACHE := .cache
UV := $(CACHE)/uv/bin/uv
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
export UV_COMPILE_BYTECODE := 1

help:
	@echo "make demo   write recordings, convert them, show the result"
	@echo "make test   all that CI runs: lint, types, tests, coverage"
	@echo "make test-newest  the tests with official readers, with LeRobot 0.6 (needs Python 3.12)"
	@echo "make test-gr00t   60 steps of GR00T N1.6's own trainer on the demo's dataset (several GB)"
	@echo "make bench  measure speed against the original way"

# Debian's Python comes without venv.
$(UV):
	@python3 -c 'import ensurepip' 2>/dev/null || .ci/apt-install python3-venv
	python3 -m venv $(CACHE)/uv
	$(CACHE)/uv/bin/python -m pip install --quiet uv

.venv/.ready: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --locked --all-extras
	touch $@

setup: .venv/.ready

# What tests use from Debian, as COMMAND:PACKAGE.
SYSTEM_PACKAGES := h5diff:hdf5-tools gcc:gcc slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client munged:munge chromium:chromium firefox-esr:firefox-esr

system-packages:
	@missing=; for pair in $(SYSTEM_PACKAGES); do \
	  PATH="$$PATH:/usr/sbin" command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair#*:}"; \
	done; \
	[ -z "$$missing" ] || .ci/apt-install $$missing

demo: setup
	.venv/bin/piperline demo demo

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The official readers, each LeRobot over one base: pip, since it takes the CPU build of torch where one is provided.
ORACLE := $(CACHE)/oracle
ORACLE_PIP := $(ORACLE)/base/bin/python -m pip install --quiet --disable-pip-version-check

$(ORACLE)/.ready: tests/oracle/base.txt tests/oracle/v21.txt tests/oracle/v30.txt | $(UV)
	rm -rf $(ORACLE)
	python3 -m venv $(ORACLE)/base
	$(ORACLE_PIP) --requirement tests/oracle/base.txt
	$(ORACLE_PIP) --no-deps --target $(ORACLE)/v21 --requirement tests/oracle/v21.txt
	$(ORACLE_PIP) --no-deps --target $(ORACLE)/v30 --requirement tests/oracle/v30.txt
	touch $@

oracle-env: $(ORACLE)/.ready

# The environments wait for the network, lint and types for a CPU: side by side. Tests start thousands
# of processes: each would compile the modules itself where Python is told to write no bytecode.
test: setup system-packages
	$(MAKE) --no-print-directory --jobs 2 --output-sync oracle-env lint
	.venv/bin/python -m compileall -q src tests
	.venv/bin/coverage erase
	.venv/bin/coverage run -m pytest -n 3 --dist worksteal
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage report

# LeRobot 0.6 needs Python 3.12 and 5 GB: not a part of `make test`, which needs neither.
NEWEST := $(CACHE)/newest
PYTHON312 ?= python3.12

$(NEWEST)/.ready: tests/oracle/newest.txt
	rm -rf $(NEWEST)
	$(PYTHON312) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/oracle/newest.txt
	touch $@

test-newest: setup oracle-env $(NEWEST)/.ready
	LEROBOT_V30_PYTHON=$(CURDIR)/$(NEWEST)/bin/python .venv/bin/pytest -n 2 -m oracle

# GR00T N1.6's own loader and trainer on the demo's dataset: several GB and NVIDIA's code, run by hand.
GROOT := $(CACHE)/gr00t
GROOT_SOURCE ?= $(CURDIR)/$(GROOT)/source

$(GROOT)/.ready: tests/groot/training/requirements.txt
	rm -rf $(GROOT)
	python3 -m venv $(GROOT)/env
	$(GROOT)/env/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(GROOT)/source: | $(GROOT)/.ready
	GIT_LFS_SKIP_SMUDGE=1 git clone --quiet --depth 1 --branch n1.6.1-release https://github.com/NVIDIA/Isaac-GR00T $@

# torchcodec reads through Debian's FFmpeg.
test-gr00t: setup $(GROOT)/.ready $(if $(wildcard $(GROOT_SOURCE)/gr00t),,$(GROOT)/source)
	@command -v ffmpeg >/dev/null || .ci/apt-install ffmpeg
	GROOT_PYTHON=$(CURDIR)/$(GROOT)/env/bin/python GROOT_SOURCE=$(GROOT_SOURCE) \
	  .venv/bin/pytest -n 0 tests/groot/training

# The original way, over the base of the official readers.
$(CACHE)/bench/original/.ready: bench/original.txt | oracle-env
	rm -rf $(@D)
	$(ORACLE_PIP) --no-deps --target $(@D) --requirement bench/original.txt
	touch $@

# torchcodec reads through Debian's FFmpeg.
bench: setup $(CACHE)/bench/original/.ready
	@command -v ffmpeg >/dev/null || .ci/apt-install ffmpeg
	.venv/bin/python -m bench.run
	.venv/bin/python -m bench.floor
	.venv/bin/python -m bench.encoders
	.venv/bin/python -m bench.training
	.venv/bin/python -m bench.transfer
	.venv/bin/python -m bench.verify
	.venv/bin/python -m bench.edit
	.venv/bin/python -m bench.review

clean:
	rm -rf .venv $(CACHE) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
