# Everything here sets itself up: Python 3.11 and the package registries are all it takes.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

CACHE := .cache
UV := $(CACHE)/uv/bin/uv
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never

help:
	@echo "make demo   write recordings, convert them, show the result"
	@echo "make test   all that CI runs: lint, types, tests, coverage"
	@echo "make bench  measure speed against the original way"

$(UV):
	python3 -m venv $(CACHE)/uv
	$(CACHE)/uv/bin/python -m pip install --quiet uv

.venv/.ready: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --locked --all-extras
	touch $@

setup: .venv/.ready

demo: setup
	.venv/bin/piperline demo demo

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: lint
	.venv/bin/coverage erase
	.venv/bin/coverage run -m pytest -n 2 --dist worksteal
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage report

bench: setup
	.venv/bin/python bench/run.py

clean:
	rm -rf .venv $(CACHE) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
