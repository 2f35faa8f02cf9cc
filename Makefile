# Two commands set everything up on a machine with Python >= 3.11 and make:
#   make demo    the whole story on a real micrograph, ending in a report
#   make test    lint, types and all tests
PYTHON ?= python3
BIN := .venv/bin
DEMO_OUT ?= quietframe-demo
DATA ?= $(or $(QUIETFRAME_DATA),../shared/data)

.PHONY: demo test lint jar update-site fiji-commands benchmark-ndr benchmark-training benchmark-filters constraints clean

demo: .venv/.demo-installed
	$(BIN)/quietframe demo --out $(DEMO_OUT) --overwrite

test: .venv/.test-installed lint
	$(BIN)/python tests/run.py

lint: .venv/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

jar: .venv/.test-installed
	$(BIN)/python -m quietframe.fiji.jar dist

# What an update site of Fiji holds: files under their Fiji paths, with checksums. docs/fiji.md says how to upload it.
update-site: .venv/.test-installed
	$(BIN)/python -m quietframe.fiji.update_site dist/update-site

# The page of all options of the Fiji commands, out of the headers of the scripts.
fiji-commands: .venv/.test-installed
	$(BIN)/python -m quietframe.fiji.commands docs/fiji-commands.md

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Quietframe needs Python 3.11 or newer; this is $$($(PYTHON) --version). Say which: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv

.venv/.demo-installed: .venv/bin/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[cpu,train,report,fiji]'
	@touch $@

.venv/.test-installed: .venv/bin/uv pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[cpu,train,report,fiji,scale,zoo,dev]'
	@touch $@ .venv/.demo-installed

# The numbers of the exposure core, about 3 minutes and 1.1 GB of disk; written to benchmarks/results.
benchmark-ndr: .venv/.test-installed
	$(BIN)/python benchmarks/ndr_exposure.py
	$(BIN)/python benchmarks/ndr_pairs.py

# The numbers of training, about 90 minutes of CPU time; written to benchmarks/results, summed up in training.md. Beside
# CAREamics only where CAREAMICS_PYTHON names a Python that has it (benchmarks/careamics_peer.py says how).
TRAINING := overhead quality pairs exposure laplace psf zero_shot
benchmark-training: .venv/.test-installed
	for name in $(TRAINING); do $(BIN)/python benchmarks/train_$$name.py || exit; done
	$(BIN)/python benchmarks/predict_large.py
	$(if $(CAREAMICS_PYTHON),$(BIN)/python benchmarks/train_speed.py)
	$(BIN)/python benchmarks/training_report.py

# The numbers of the classical filters, about 30 minutes; written to benchmarks/results, summed up in filters.md. Beside
# the closed `bm3d` package only where BM3D_PYTHON names a Python that has it (benchmarks/filter_bm3d.py says how).
benchmark-filters: .venv/.test-installed
	$(BIN)/python benchmarks/filters_imagej.py
	$(BIN)/python benchmarks/filter_quality.py
	$(if $(BM3D_PYTHON),$(BM3D_PYTHON) benchmarks/filter_bm3d.py)
	$(BIN)/quietframe reproduce siegen --out build/siegen --overwrite $(if $(wildcard $(DATA)/fmd),--data $(DATA))
	cp build/siegen/table.md benchmarks/results/siegen.md
	$(BIN)/python benchmarks/filters_report.py

# The versions everything was tested with; versions only, no addresses.
constraints: .venv/.test-installed
	$(BIN)/uv pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf .venv dist build $(DEMO_OUT)
