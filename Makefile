# make demo   the bank, from nothing to an attack that fails      make test    every test
# make bench  figures, side by side                               make clean   undo all of it
VENV   := .venv
BIN    := $(VENV)/bin
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
PYTEST := $(AS_ROOT) env PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_PROFILE=$(HYPOTHESIS_PROFILE) $(BIN)/python -m pytest -p no:cacheprovider
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: setup demo test lint unit system worlds soak bench bench-policy bench-api bench-dataplane example clean root

demo: $(VENV)/.ready root
	$(AS_ROOT) $(BIN)/tsujiban demo bank $(ARGS)

# Tests without root on all cores, then the system tests one after the other. With ARGS: what they choose, in one go.
test: setup root lint
ifdef ARGS
	$(PYTEST) $(ARGS)
else
	@failed=0; \
	$(PYTEST) -m "not system" -n auto || failed=1; \
	$(PYTEST) -m system || failed=1; \
	exit $$failed
endif

setup: $(VENV)/.ready-tests

$(VENV)/.ready: pyproject.toml .ci/setup
	VENV=$(VENV) .ci/setup demo

$(VENV)/.ready-tests: pyproject.toml .ci/setup
	VENV=$(VENV) .ci/setup

root:
	@$(AS_ROOT) true 2>/dev/null || { \
	  echo "This needs root (network namespaces, nftables). Remedy: run make as root, or install sudo and allow it." >&2; \
	  exit 1; }

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup
	$(BIN)/python -m pytest -m "not system" -n auto $(ARGS)

system: setup root
	$(PYTEST) -m system $(ARGS)

bench: setup root
	$(AS_ROOT) $(BIN)/python bench/bank.py $(ARGS)

bench-policy: setup
	$(BIN)/python bench/policy.py $(ARGS)
	$(BIN)/python bench/connectivity.py

bench-api: setup
	$(BIN)/python bench/store.py
	$(BIN)/python bench/api.py $(ARGS)

bench-dataplane: setup root
	-VENV=$(VENV) .ci/setup bench
	$(AS_ROOT) $(BIN)/python bench/dataplane.py $(ARGS)

worlds: setup
	TSUJIBAN_WORLDS=$(or $(WORLDS),20000) nice $(BIN)/python -m pytest -p no:cacheprovider -o timeout=0 -rP -k many tests/property/policy $(ARGS)

soak: setup root
	$(AS_ROOT) $(BIN)/python bench/soak.py --minutes $(or $(MINUTES),10) $(ARGS)

example:
	python3 examples/bank/bundle.py > examples/bank/apps.yaml

clean:
	@if [ -x $(BIN)/tsujiban ]; then $(AS_ROOT) $(BIN)/tsujiban down --if-exists; fi
	$(AS_ROOT) rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	$(AS_ROOT) find . -name __pycache__ -type d -prune -exec rm -rf {} +
