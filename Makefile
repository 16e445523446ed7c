# Everything runs in .venv; `make demo` and `make test` need nothing but Python 3.11 (or newer), make and a network.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/

.PHONY: demo test test-lowest test-faults lint docs check-release dev up down bench bench-folds clean

demo: $(VENV)/.installed
	$(RUN)nnunet-assets demo

test: $(VENV)/.installed-test lint
	$(RUN)python -m nnunet_assets_tests.side_by_side

# The oldest versions that setup.cfg takes, in an environment of their own: a torch of CUDA 12, so 6 GB, once. They stand
# beside newer ones of what they need themselves, whose warnings about them are no errors here. `make test-lowest
# TESTS=nnunet_assets_tests/core` runs a part.
LOWEST := .venv-lowest
test-lowest: $(LOWEST)/.installed
	PYTHONDONTWRITEBYTECODE= $(LOWEST)/bin/python -m pytest -W default $(or $(TESTS),nnunet_assets_tests)

# `unittest2`, which batchgenerators asks for and never imports, cannot be built any more.
$(LOWEST)/.installed: setup.cfg pyproject.toml
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip compile --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --extra lowest \
	    --output-file $(LOWEST)/all.txt setup.cfg
	grep -viE '^(unittest2|traceback2|linecache2)==' $(LOWEST)/all.txt > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --requirement $(LOWEST)/lowest.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --editable .
	touch $@

# An hour and more: what kills, damage, a full disk and a dead tracking server do to real trainings.
test-faults: $(VENV)/.installed-test
	$(RUN)pytest -m faults

lint: $(VENV)/.installed-test
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy
	$(RUN)lint-imports

# A warning is an error, such as a link that leads nowhere. Never with `-q`, by which mkdocs forgets that. The pages are
# those of Zensical; Material for MkDocs sees a page that is missing or not listed, and is what is left should Zensical end.
docs: $(VENV)/.installed-docs
	$(RUN)python docs/reference.py
	$(RUN)python docs/graph.py
	NO_MKDOCS_2_WARNING=1 $(RUN)mkdocs build --strict --site-dir build/docs-material
	$(RUN)zensical build --clean --strict

# Each archive in an environment that holds nothing else: does it bring all its files, and does the first command work?
check-release: $(VENV)/.installed
	rm -rf dist build/release
	$(RUN)python -m pip install --quiet build
	$(RUN)python -m build --outdir dist .
	for archive in dist/*.whl dist/*.tar.gz; do \
	    folder=build/release/$${archive##*.} && $(PYTHON) -m venv $$folder && \
	    $$folder/bin/python -m pip install --quiet --constraint constraints.txt $$archive && \
	    $$folder/bin/nnunet-assets demo $$folder/project && \
	    $$folder/bin/nnunet-assets doctor --project $$folder/project || exit 1; \
	done

dev: $(VENV)/.installed
	$(RUN)nnunet-assets dev

up: $(VENV)/.installed
	$(RUN)nnunet-assets up

down: $(VENV)/.installed
	$(RUN)nnunet-assets down

bench: $(VENV)/.installed-test
	$(RUN)python benchmarks/load_and_tick.py
	$(RUN)python benchmarks/queries.py

# Long, on an idle machine. `benchmarks/fold_against_nnunet.py --quick short` gives one repeat in three minutes.
bench-folds: $(VENV)/.installed-test
	$(RUN)python benchmarks/fold_against_nnunet.py

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which: make PYTHON=python3.11 ...")'
	test -x $(RUN)python || $(PYTHON) -m venv $(VENV)
	$(RUN)python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(RUN)python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(RUN)python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) build dist *.egg-info
