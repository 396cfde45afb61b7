# Each target installs what it needs in .venv/. A fresh machine needs Python 3.11 to 3.13, make and a network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PORT
# Hide TensorFlow's messages at import, but not its warnings and errors. The service sets its own level.
train test bench: export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help serve train train-arguments test check bench format clean

help:  ## this list
	@echo "make TARGET, with:"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r target text; \
		do printf '  %-8s %s\n' "$$target" "$$text"; done

serve: $(VENV)/service.done  ## the HTTP service on port 8000; PORT=9000 chooses another
	$(BIN)/python -m gunicorn --config service/gunicorn.conf.py

train: train-arguments $(VENV)/training.done  ## train on your text: make train NAME=mine CORPUS=path [ARGS="--epochs 10"]
	$(BIN)/python -m charloom train --name "$(NAME)" $(if $(CORPUS),--corpus "$(CORPUS)") $(ARGS)

# Checked before anything is installed. A resumed run has its own text, and ARGS may name a corpus.
train-arguments:
	$(if $(NAME),,$(error Give the model a name: make train NAME=mine CORPUS=path/to/texts))
	$(if $(CORPUS)$(findstring --resume,$(ARGS))$(findstring --corpus,$(ARGS))$(findstring --help,$(ARGS)),,$(error Name the text to train on: make train NAME=$(NAME) CORPUS=path/to/texts))
	@:

test: $(VENV)/dev.done  ## the whole test suite; ARGS="tests/service -x" for a part
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/dev.done  ## format, lint, types, forbidden imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/bench.done  ## characters a second of training and serving, beside PyTorch's nn.LSTM
	$(BIN)/python -m bench.train
	$(BIN)/python -m bench.serve

format: $(VENV)/dev.done  ## reformat, and fix what lint can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove .venv/
	rm -rf $(VENV)

# An unusable environment (incomplete, or its Python was removed or replaced) is made again, with all packages.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
USABLE := import importlib.metadata; importlib.metadata.version("pip"); $(FITS)
ifneq ($(shell $(BIN)/python -c '$(USABLE)' 2>/dev/null && echo usable),usable)
.PHONY: $(BIN)/python $(addprefix $(VENV)/,service.done training.done dev.done bench.done)
endif

$(BIN)/python:
	@$(PYTHON) -c '$(FITS)' || \
		{ echo "Charloom needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another with make PYTHON=..." >&2; exit 1; }
	@rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, apt install python3-venv first." >&2; exit 1; }

# The prerequisites name the packages; the project itself is linked, for .venv/bin/charloom. A stamp is written once
# everything is installed.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$^) --editable . && touch $@

$(VENV)/service.done: requirements.txt | $(BIN)/python
	$(INSTALL)

$(VENV)/training.done: requirements.txt requirements-training.txt | $(BIN)/python
	$(INSTALL)

$(VENV)/dev.done: requirements.txt requirements-training.txt requirements-jax.txt requirements-redis.txt requirements-objectstore.txt requirements-dev.txt | $(BIN)/python
	$(INSTALL)

$(VENV)/bench.done: requirements.txt requirements-training.txt requirements-bench.txt | $(BIN)/python
	$(INSTALL)
