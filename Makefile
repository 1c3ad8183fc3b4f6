# `make` lists the targets. Variables: SUITE=configs/….yaml  ARGS="…"  PYTEST_ARGS="…"  STACK=cpu|cuda  PYTHON=…
.DEFAULT_GOAL := help
.PHONY: help setup setup-latest bench reproduce matrix claims nightly report test lint lock clean docker docker-bench
export STACK PYTHON BASE
# A test that calls make reads what it prints; called by `make test`, it would say which folder it enters.
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
PARALLEL := -n logical --maxprocesses 4 --dist loadfile

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## .venv with the pinned stack this host needs (STACK=cpu|cuda overrides), compiled extensions, proof; quick when done
	@sh harness/setup/bootstrap.sh

setup-latest: setup ## .venv-latest: today's PyTorch and transformers, for suites that compare with them (BASE=python3: over what that one has)
	@$(BIN)/python -m harness.setup.latest

bench: setup ## paired jobs and their tables: the suite that fits this host, or SUITE=configs/….yaml (more options: ARGS="…")
	@$(BIN)/harness run $(SUITE) $(ARGS)

reproduce: setup ## the published experiment to its end: configs/glue-sst2-full.yaml, hours on a GPU (ARGS=…)
	@$(BIN)/harness run glue-sst2-full $(ARGS)

matrix: setup ## which models train with which backend here, proven and alike, and the errors: configs/matrix-cpu.yaml or -gpu.yaml
	@# 1: some pair has no result, which here is what the table is for
	@$(BIN)/harness run matrix --view matrix $(ARGS) || [ $$? -eq 1 ]

claims: setup ## what was published of ONNX Runtime Training, and what the runs below results/ measured of it
	@$(BIN)/report tables results results/published/*/ --view claims $(ARGS)

report: setup ## the tables and plots in README.md, docs/ and results/ anew from the runs (ARGS=--check only says which are stale)
	@$(BIN)/report readme $(ARGS)

nightly: setup ## bench, check against earlier nights, alarmed pairs once more, alert: docs/nightly.md (ARGS="--channel slack …")
	@$(BIN)/harness nightly $(SUITE) $(ARGS)

test: setup ## all tests, the fast ones first (PYTEST_ARGS="-m 'not slow'" for these only, PYTEST_ARGS=tests/… for some)
	@$(BIN)/python -m pytest $(PARALLEL) $(or $(PYTEST_ARGS),tests/unit tests/integration)
	@$(if $(PYTEST_ARGS),,$(BIN)/python -m pytest $(PARALLEL) tests/slow)

lint: setup ## ruff (check and format), mypy --strict, import-linter (who may import whom)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docker: ## container image with the stack this host needs, by docker, podman or buildah (more variables: docker/docker.sh)
	@sh docker/docker.sh build

docker-bench: docker ## `make bench` in a container, on the GPUs where there are any: SUITE, ARGS, GPUS=all|…
	@sh docker/docker.sh bench

lock: ## resolve requirements/*.in anew into hashed pins
	@python3 -m harness.setup.lock

clean: ## remove .venv, .venv-latest, .cache and build leftovers; results stay, and so do compiled extensions in the user's cache
	rm -rf .venv .venv-latest .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
