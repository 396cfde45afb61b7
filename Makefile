# Every target does its own set-up in .venv/: a fresh machine needs Python >= 3.11, make and a network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PORT
# TensorFlow greets on stderr at every import; only its warnings and errors are worth a line.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: serve train test check bench format clean

serve: $(VENV)/service.done  ## the HTTP service on $(PORT)
	$(BIN)/python -m gunicorn --config service/gunicorn.conf.py

train: $(VENV)/training.done  ## make train NAME=mine CORPUS=path [ARGS="--epochs 10"]
	$(BIN)/python -m training train --name "$(NAME)" --corpus "$(CORPUS)" $(ARGS)

test: $(VENV)/dev.done  ## the whole suite
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/dev.done  ## format, lint, types, walls between the wings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/bench.done  ## characters a second of training and of serving, beside PyTorch's nn.LSTM in the same run
	$(BIN)/python -m bench.train
	$(BIN)/python -m bench.serve

format: $(VENV)/dev.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Charloom needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/service.done: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/training.done: requirements-training.txt requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-training.txt
	@touch $@

$(VENV)/dev.done: requirements-dev.txt requirements-jax.txt requirements-training.txt requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/bench.done: requirements-bench.txt requirements-training.txt requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@
