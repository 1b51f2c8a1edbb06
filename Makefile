# make demo   runs the main job on the bundled mini CLIP and shows its result
# make test   lint, types and tests
# Both make .venv by themselves; they need python3 (3.10 to 3.13) and a package index.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-fast lint bench format clean

demo: .venv/installed
	$(BIN)/clipprompt demo

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

test-fast: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal -m "not slow"

lint: .venv/installed
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python -m tools.bench

format: .venv/installed
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

# uv links packages from its cache, so a second clone costs neither the download nor the disk.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing the pinned packages (torch is large: some minutes the first time)" >&2
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --group dev --editable .
	@touch $@
