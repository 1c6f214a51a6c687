# `make run` and `make test` are all that a fresh machine needs: each sets up what it uses, in .venv.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs
BIN := $(VENV)/bin
# Installed first, so that no other package's range brings another build.
TORCH ?= torch==2.13.0
POLICIES := gf/expert-v1 gf/nano-vla-v1 gf/random-card-v1 gf/touring-v1 gf/random-v1 gf/null-v1
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: run test test-full docs interop lint check format opengl chromium clean help

help: ## Show this.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: opengl $(VENV)/.run ## Evaluate nano, the expert and the controls on gf/quick@1 and report.
	@for policy in $(POLICIES); do \
	  $(BIN)/gf run gf/quick@1 --policy $$policy --out $(RUNS)/quick/$$(basename $$policy) >/dev/null || exit $$?; \
	done
	@$(BIN)/gf report $(RUNS)/quick
	@$(BIN)/gf report $(RUNS)/quick --html $(RUNS)/quick/report.html

test: opengl chromium check ## Lint, types, import arrows, and the tests that CI runs.
	$(PYTEST) -m "not full"

test-full: opengl chromium check ## The same with every long sample.
	$(PYTEST)

docs: $(VENV)/.test ## The documentation as a site in build/docs; warnings are errors.
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs build/docs
	@echo build/docs/index.html

interop: opengl ## Pass data sets and policies to and from the real lerobot, vla-eval, openpi-client and gym-pusht, in environments of their own.
	$(PYTHON) -m venv .venv-interop
	.venv-interop/bin/python -m pip install --quiet --disable-pip-version-check -e . "lerobot==0.4.4"
	.venv-interop/bin/python -m pip install --quiet --disable-pip-version-check -e integrations/lerobot_env_grinningface
	.venv-interop/bin/python scripts/interop_lerobot.py
	.venv-interop/bin/python scripts/interop_lerobot_policies.py
	$(PYTHON) -m venv .venv-vla-eval
	.venv-vla-eval/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-vla-eval/bin/python -m pip install --quiet --disable-pip-version-check -e ".[train]" "vla-eval==0.8.0"
	.venv-vla-eval/bin/python scripts/interop_vla_eval.py
	$(PYTHON) -m venv .venv-openpi
	.venv-openpi/bin/python -m pip install --quiet --disable-pip-version-check "openpi-client==0.1.2" typing_extensions
	.venv-vla-eval/bin/python scripts/interop_openpi.py .venv-openpi/bin/python
	$(PYTHON) -m venv .venv-gymnasium
	.venv-gymnasium/bin/python -m pip install --quiet --disable-pip-version-check -e . "gym-pusht==0.1.8"
	.venv-gymnasium/bin/python scripts/interop_gymnasium.py

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

opengl:
	@$(PYTHON) scripts/check_opengl.py

chromium:
	@$(PYTHON) scripts/check_chromium.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[train]"
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ $(VENV)/.run

clean: ## Remove the virtual environment and caches; runs stay.
	rm -rf $(VENV) .venv-interop .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
