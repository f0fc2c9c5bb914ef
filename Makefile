# Two commands: `make launch` and `make test`. Each sets everything up first, in .venv.
#   make test ARGS="tests/dgad -k bundle"       pytest's own arguments, instead of all
#   make launch ARGS="--data DIR --name NAME"   search on your own photographs
#   make launch TORCH_INDEX=URL                 take torch and torchvision from another package index (CPU-only builds)
#   make launch PYTHON=python3.12 VENV=DIR      another interpreter or environment
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
TORCH_INDEX ?=
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help launch test test-all check docs format install clean

help:
	@echo "make launch   search, evaluate and bundle a comparer (demo data; ARGS=\"--data DIR\" for your own)"
	@echo "make test     run the tests that start no Ray, cluster or browser (some five minutes)"
	@echo "make test-all run every test (half an hour at most)"
	@echo "make check    ruff, mypy, import contracts, documentation"
	@echo "make docs     build the documentation into site/"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("dgad needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + "; name another with PYTHON=") if sys.version_info < (3, 11) else None'
	@echo "Installing into $(VENV) (the first time a few minutes, mostly torch) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch torchvision
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

launch: install
	@$(BIN)/dgad-tune launch $(ARGS)

# Two at once, each on one thread. ARGS="-n 0 ..." is one at a time.
HEAVY := ray or cluster or browser or slow
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
test: install
	@$(PYTEST) -n 2 --dist loadscope $(if $(ARGS),$(ARGS),-m "not ($(HEAVY))")

# The rest: clusters wait more than they compute, so two at once; what is marked `alone` needs both cores.
test-all: test
	@$(PYTEST) -n 2 --dist loadscope -m "($(HEAVY)) and not alone"
	@$(PYTEST) -m alone

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/check_docstrings.py
	@$(BIN)/python tools/draw_architecture.py --check
	@$(MAKE) --no-print-directory docs

# Nothing is fetched, here or by the pages. A link that leads nowhere is an error.
docs: install
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@$(BIN)/python tools/check_site.py site

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info
