# Two commands: `make run` shows a real distillation, `make test` checks everything. Both make their own environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run lm-demo test lint types docs pictures audit clean

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Understudy needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# one thread: networks of this size have no work for two
run: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/understudy distill --teacher digits --student "tiny-cnn?width=3" --method kd --data digits

# a language model, its understudy and what they write, from nothing: under ten minutes on two cores
lm-demo: $(VENV)/ready
	$(BIN)/python examples/demos/language.py

test: $(VENV)/ready
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

docs: $(VENV)/ready
	$(BIN)/python docs/build.py

pictures: $(VENV)/ready
	$(BIN)/python docs/pictures.py

# known holes in what is pinned; asks a public database, so it needs a network
audit: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	$(BIN)/pip-audit --disable-pip --no-deps -r requirements.lock

clean:
	rm -rf $(VENV) runs site docs/_generated
