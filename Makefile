# make quick     build the environment, run the embedded study in short, print its tables
# make tables    build the environment, run the embedded study, print its tables
# make test      build the environment, run the tests, a process for each core
# make docs      build the environment and the pages of docs/, as docs/_build/index.html
# make setup     build the environment alone
# make publish   fill dvc-store/ from a finished run of the embedded study (docs/caching.md); make publish-masks: its masks

VENV := .venv

# The environment's own Python if it exists, so that PYTHON has to be given only the first time.
PYTHON ?= $(or $(realpath $(VENV)/bin/python3),python3)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: quick tables test docs setup publish publish-masks

quick: setup
	snakemake --cores all --config study=quick

tables: setup
	snakemake --cores all

test: setup
	pytest --numprocesses auto --dist worksteal

docs: setup
	sphinx-build --quiet --fail-on-warning --builder html docs docs/_build
	@echo docs/_build/index.html

setup:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, found " + sys.version.split()[0])'
	@"$(PYTHON)" environment.py

# The tables and the report of a study, for readers who install nothing.
define publish
	rm -rf results/$(1)/published
	mkdir results/$(1)/published
	cp results/$(1)/report.html results/$(1)/tables/*.csv results/$(1)/tables/*.verdicts.json results/$(1)/published
	cat results/$(1)/tables/*.md > results/$(1)/published/README.md
endef

# For maintainers: run the study of masks, a quarter of an hour, and publish its tables and report. Commit them then.
publish-masks: setup
	snakemake --cores all --config study=masks
	$(call publish,masks)
	git add results/masks/published

# For maintainers: run the embedded study and fill dvc-store/, which `dvc pull` reads, with its results. Commit it then.
publish: setup
	snakemake --cores all --config study=mini
	dvc commit --force
	rm -rf dvc-store
	dvc push
	$(call publish,mini)
	cp results/mini/predictions/table5.png results/mini/published
	pytest tests/caching/test_published.py
	@du -sm dvc-store
	git add dvc.yaml dvc.lock dvc-store results/mini/published
