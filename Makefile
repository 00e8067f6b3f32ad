# make tables    build the environment, run the embedded study, print its tables
# make test      build the environment, run the whole test suite
# make setup     build the environment alone

PYTHON ?= python3
VENV := .venv
ENVIRONMENT := $(VENV)/.complete

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: tables test setup

tables: setup
	snakemake --cores all

test: setup
	pytest

setup: $(ENVIRONMENT)

# torch comes first, by itself: the lock's other packages are then resolved against the build that was found.
$(ENVIRONMENT): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, found " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@
