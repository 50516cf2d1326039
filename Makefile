PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/installed
TYPECHECK := $(VENV)/typecheck

.PHONY: demo test fuzz soak lint
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(VENV)/bin/python -m uniavgen_lab demo

test: lint
	$(VENV)/bin/pytest

# Ten thousand random inputs for each reader, where `make test` has a hundred that are always the same. Half an hour on two cores.
fuzz: $(INSTALLED)
	UNIAVGEN_FUZZ=many $(VENV)/bin/pytest -m fuzz

# 200 prompts on the ComfyUI of COMFYUI_PATH; about half an hour on two cores. SOAK="--seed 7" makes one again.
soak: $(INSTALLED)
	$(VENV)/bin/python tools/soak.py $(SOAK)

# The nodes are checked under a link with an importable name: the checkout's own folder may be called anything.
lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy uniavgen_core uniavgen_lab
	MYPYPATH=tools $(VENV)/bin/mypy tools/batch.py tools/archive.py
	mkdir -p $(TYPECHECK)
	ln -sfn "$(CURDIR)" $(TYPECHECK)/uniavgen
	cd $(TYPECHECK) && ../bin/mypy --config-file "$(CURDIR)/pyproject.toml" uniavgen/nodes

# --no-deps: requirements-dev.txt has them all, and the frontend's range in pyproject.toml is for the registry only.
$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -r requirements-dev.txt
	$(VENV)/bin/python -m pip install --no-deps --editable .
	touch $@
