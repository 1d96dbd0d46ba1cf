# make demo: a picture. make test: everything that needs no GPU. Nothing else to set.
PROMPT ?= a red apple on green grass
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TRITON := 3.9.0

PAGE   := mezzotint/web/index.html
PAGE_SOURCES := $(shell find webui -name node_modules -prune -o -type f ! -name openapi.json \
  ! -name schema.d.ts -print)
NODE   := node -e '[a, b] = process.versions.node.split("."); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)'

.PHONY: demo serve web test test-web screenshots check fmt size bench targets performance soak fuzz audit test-gpu collect-gpu golden clean

demo: $(VENV)/run.stamp
	$(BIN)/mezzotint generate "$(PROMPT)" --profile

# The server with its page, in the browser. Without Node everything but the page is there.
serve: $(VENV)/serve.stamp
	@if $(NODE) 2>/dev/null; then $(MAKE) --no-print-directory web; \
	  else echo "no page: building it takes Node 20.19 or newer (https://nodejs.org)"; fi
	$(BIN)/mezzotint serve --open

web: $(PAGE)

test: $(VENV)/dev.stamp check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cpu tests/security -n auto --dist loadfile
	$(BIN)/python -m pytest tests/e2e
	$(MAKE) --no-print-directory test-web
	$(MAKE) --no-print-directory collect-gpu

# The page: types against the server's own document, lint, units; then a browser drives it.
test-web: $(VENV)/dev.stamp web
	$(BIN)/python tools/openapi.py > webui/openapi.json
	cd webui && npm run --silent types && npm run --silent lint && npm run --silent check && \
	  npm run --silent test
	$(BIN)/python -m pytest tests/web -m "not fluid" -n 2 --dist worksteal
	$(BIN)/python -m pytest tests/web -m fluid

# Every page in both languages and themes, into docs/images/. Look at them.
screenshots: $(VENV)/dev.stamp web
	$(BIN)/python tests/web/screenshots.py

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/size.py

fmt: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

size: $(VENV)/dev.stamp
	$(BIN)/python tools/size.py --table

# On a machine with an NVIDIA GPU.
test-gpu: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/gpu

bench: $(VENV)/dev.stamp
	$(BIN)/python -m bench.pictures --out bench/results/pictures.jsonl

# Hold the rows against the targets; fails while a floor is missed.
targets: $(VENV)/dev.stamp
	$(BIN)/python -m bench.targets

# Write docs/performance.md, its plots and the READMEs' tables from the rows.
performance: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python -m bench.report

# The promises of docs/reliability.md at full length: an hour and a half. Their short versions are in test.
soak: $(VENV)/dev.stamp
	$(BIN)/python -m bench.serve overhead overload requests jobs pictures memory adaptive \
	  --out bench/results/serve.jsonl
	$(BIN)/python -m bench.faults workers cancels drains disks kills streams \
	  --out bench/results/faults.jsonl
	$(MAKE) --no-print-directory fuzz FUZZ_S=60

# Coverage-guided noise for every parser, FUZZ_S seconds each; Linux only, as atheris is.
FUZZ_S ?= 600
fuzz: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	$(BIN)/python tests/security/fuzz.py $(FUZZ_S)

# Known holes in what constraints.txt pins; asks the package index.
audit: $(VENV)/dev.stamp
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.0
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

# Without a GPU the GPU tests must at least import and collect.
collect-gpu: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/gpu --collect-only

# Make the golden picture anew, after a change that is meant to change pixels.
golden: $(VENV)/dev.stamp
	$(BIN)/python tests/golden/make.py

clean:
	rm -rf $(VENV) outputs mezzotint/web webui/node_modules

$(PAGE): webui/node_modules/run.stamp $(PAGE_SOURCES)
	cd webui && npm run --silent build
	touch $@

webui/node_modules/run.stamp: webui/package-lock.json
	@$(NODE) 2>/dev/null || { echo "the page takes Node 20.19 or newer with npm: https://nodejs.org"; exit 1; }
	cd webui && npm ci
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/serve.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[serve]"
	touch $@ $(VENV)/run.stamp

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	# CUDA builds of torch bring their own Triton; with a CPU build its interpreter runs the kernels.
	$(BIN)/python -c "import triton" 2>/dev/null || $(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check triton==$(TRITON)
	touch $@ $(VENV)/run.stamp $(VENV)/serve.stamp
