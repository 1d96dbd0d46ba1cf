# make demo: a picture. make test: everything that needs no GPU. Nothing else to set.
PROMPT ?= a red apple on green grass
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TRITON := 3.9.0

.PHONY: demo serve test check fmt size bench test-gpu collect-gpu golden clean

demo: $(VENV)/run.stamp
	$(BIN)/mezzotint generate "$(PROMPT)" --profile

serve: $(VENV)/dev.stamp
	$(BIN)/mezzotint serve

test: $(VENV)/dev.stamp check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cpu -n auto --dist loadfile
	$(BIN)/python -m pytest tests/e2e
	$(MAKE) --no-print-directory collect-gpu

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
	$(BIN)/python -m bench.pictures --rivals --out bench/results/pictures.jsonl

# Without a GPU the GPU tests must at least import and collect.
collect-gpu: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/gpu --collect-only

# Make the golden picture anew, after a change that is meant to change pixels.
golden: $(VENV)/dev.stamp
	$(BIN)/python tests/golden/make.py

clean:
	rm -rf $(VENV) outputs

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	# CUDA builds of torch bring their own Triton; with a CPU build its interpreter runs the kernels.
	$(BIN)/python -c "import triton" 2>/dev/null || $(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check triton==$(TRITON)
	touch $@ $(VENV)/run.stamp
