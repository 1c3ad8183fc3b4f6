# `make` lists the targets. Variables: SUITE=configs/….yaml  ARGS="…"  PYTEST_ARGS="…"  STACK=cpu|cuda  PYTHON=…
.DEFAULT_GOAL := help
.PHONY: help setup setup-latest bench matrix nightly report test lint lock clean docker docker-bench
export STACK PYTHON BASE
BIN := .venv/bin
PARALLEL := -n logical --maxprocesses 4 --dist loadfile

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## .venv with the pinned stack this host needs (STACK=cpu|cuda overrides), compiled extensions, proof; quick when done
	@sh harness/setup/bootstrap.sh

setup-latest: setup ## all tests, the fast ones first (PYTEST_ARGS="-m 'not slow'" for these only, PYTEST_ARGS=tests/… for some)
	@$(BIN)/python -m pytest $(PARALLEL) $(or $(PYTEST_ARGS),-m "not slow")
	@$(if $(PYTEST_ARGS),,$(BIN)/python -m pytest $(PARALLEL) -m slow)

lint: setup ## ruff (check and format) and mypy --strict
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

docker: ## container image with the stack this host needs (STACK=cpu|cuda overrides; more variables: docker/docker.sh)
	@sh docker/docker.sh build

docker-bench: docker ## `make bench` in a container, on the GPUs where there are any: SUITE, ARGS, GPUS=all|…
	@sh docker/docker.sh bench

lock: ## resolve requirements/*.in anew into hashed pins
	@python3 -m harness.setup.lock

clean: ## remove .venv, .venv-latest, .cache and build leftovers; results stay, and so do compiled extensions in the user's cache
	rm -rf .venv .venv-latest .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
