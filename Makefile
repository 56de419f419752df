# The only list of commands; `make` alone prints it.

PYTHON ?=
VENV ?= .venv
HOLD ?= 1
DATA ?=
BIN = $(VENV)/bin

export PYTHON VENV
export DAGSTER_DISABLE_TELEMETRY = yes
ifneq ($(DATA),)
export MILEPOST_DATA = $(DATA)
endif

.DEFAULT_GOAL = help
.PHONY: help demo test check bench mutants pictures env dashboard dagster

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: env ## Simulated firms, portal, refresh and dashboard until Ctrl-C (PORT=8501 HOLD=0 PROJECTS=150 DATA=…)
	@exec $(BIN)/milepost demo --port $(or $(PORT),8501) $(if $(filter 0,$(HOLD)),--no-hold) \
		$(if $(PROJECTS),--projects $(PROJECTS)) $(if $(SEED),--seed $(SEED))

test: env ## All tests, in parallel (ARGS='-m "not slow"' for the quick ones)
	@set -e; left_out=$$(sh .ci/beside.sh); exec $(BIN)/python -m pytest -n 3 --dist loadfile $$left_out $(ARGS)

check: env ## Style, types, SQL, Dagster definitions and known vulnerabilities
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint models
	@PYTHONWARNINGS='ignore:Function' $(BIN)/dagster definitions validate -w workspace.yaml --log-level warning
	@$(BIN)/python .ci/audit.py

bench: env ## Measurements of a refresh
	@exec $(BIN)/python bench/run.py $(ARGS)

mutants: env ## Breaks the models one clause at a time, and tells which breaks go unnoticed (ARGS="--count 200 --seed 7")
	@exec nice -n 10 $(BIN)/python bench/mutants.py $(ARGS)

pictures: env ## The README's pictures, taken from the demo
	@sh .ci/browser.sh >/dev/null && exec $(BIN)/python docs/pictures/take.py

env: ## The virtual environment alone, from requirements.lock (PYTHON=python3.12 VENV=.venv)
	@sh .ci/env.sh

dashboard: env ## The dashboard over your own data folder (PORT=8501 DATA=…)
	@exec $(BIN)/milepost dashboard --port $(or $(PORT),8501)

dagster: env ## The Dagster UI on this workspace (PORT=3000 DATA=…)
	@exec sh .ci/dagster.sh $(or $(PORT),3000)
