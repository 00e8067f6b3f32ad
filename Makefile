# make tables    build the environment, run the embedded study, print its tables
# make test      build the environment, run the tests, a process for each core
# make setup     build the environment alone
# make publish   fill dvc-store/ from a finished run of the embedded study (docs/caching.md)

VENV := .venv

# The environment's own Python if it exists, so that PYTHON has to be given only the first time.
PYTHON ?= $(or $(realpath $(VENV)/bin/python3),python3)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: tables test setup publish

tables: setup
	snakemake --cores all

test: setup
	pytest --numprocesses auto --dist worksteal

setup:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, found " + sys.version.split()[0])'
	@"$(PYTHON)" environment.py

# For maintainers: run the embedded study and fill dvc-store/, which `dvc pull` reads, with its results. Commit it then.
publish: setup
	snakemake --cores all --config study=mini
	dvc commit --force
	rm -rf dvc-store
	dvc push
	rm -rf results/mini/published
	mkdir results/mini/published
	cp results/mini/report.html results/mini/tables/*.csv results/mini/published
	cat results/mini/tables/*.md > results/mini/published/README.md
	pytest tests/caching/test_published.py
	@size=$$(du -sm dvc-store | cut -f1); echo "dvc-store: $$size MB"; test "$$size" -le 32
	git add dvc.yaml dvc.lock dvc-store results/mini/published
