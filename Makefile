# The doors of flowsdf. `make help` lists them.
PROFILE ?= laptop
DATA ?= procedural
TIMEOUT ?= 14400
export PYTHONUTF8 := 1
export PYTHONDONTWRITEBYTECODE :=  # empty: byte code is written where a container's environment forbids it, too
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

# An activated conda environment, other than base, is used as it is; otherwise .venv is made on first use.
CONDA := $(if $(CONDA_PREFIX),$(filter-out base,$(CONDA_DEFAULT_ENV)))
ifeq ($(CONDA),)
READY := .venv/.locked
PYTHON := "$(CURDIR)/.venv/bin/python"
else
READY :=
PYTHON := "$(CONDA_PREFIX)/bin/python"
endif

CHAPTERS := $(basename $(notdir $(wildcard notebooks/*.py)))
RUN := --profile $(PROFILE) --data "$(DATA)"
KERNELS = $(PYTHON) -m flowsdf.report.forked_kernels
SEEDS ?= 0 1 2 3 4
COUNTS ?= 20 64 128

.DEFAULT_GOAL := help
.PHONY: help report pages chapters chapter evidence sweep book publish compare bench checkpoint encoder lab test check lint graphics $(CHAPTERS)

help:  ## this list
	@echo "make DOOR [PROFILE=smoke|laptop|thesis] [DATA=procedural|objaverse|path/to/meshes]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

report: $(READY) graphics  ## run every chapter that is not up to date, then make the book
	@$(PYTHON) -m flowsdf.report.estimate $(RUN)
	@exec $(KERNELS) $(MAKE) --no-print-directory pages

pages:
	@status=0; $(MAKE) --no-print-directory --keep-going chapters || status=1; \
	$(PYTHON) -m flowsdf.report.book $(RUN) || status=1; exit $$status

chapter: $(READY) graphics  ## one notebook and what it depends on: make chapter CH=11_deepsdf
	@$(if $(CH),,$(error CH is not set: make chapter CH=one of $(CHAPTERS)))exec $(KERNELS) $(MAKE) --no-print-directory $(CH)

evidence: $(READY) graphics  ## a chapter over seeds, for the ledger's intervals: make evidence CH=11_deepsdf SEEDS="0 1 2 3 4"
	@$(if $(CH),,$(error CH is not set: make evidence CH=one of $(CHAPTERS)))
	@exec $(KERNELS) sh -c 'for seed in $(SEEDS); do $(MAKE) --no-print-directory $(CH) SEED=$$seed || exit 1; done'
	@$(PYTHON) -m flowsdf.report.evidence $(CH) $(RUN) --seeds $(SEEDS)

sweep: $(READY) graphics 00_data  ## held-out scores over shape counts: make sweep COUNTS="20 64 128" SEEDS="0 1 2"
	@$(PYTHON) -m flowsdf.report.sweep $(RUN) --counts $(COUNTS) --seeds $(if $(filter file,$(origin SEEDS)),0 1 2,$(SEEDS)) \
	  $(if $(WORKERS),--workers $(WORKERS)) --timeout $(TIMEOUT)

book: $(READY)  ## the offline book of the last run, or of the published results
	@$(PYTHON) -m flowsdf.report.book $(RUN)

publish: $(READY)  ## keep this run's small results under reports/published
	@$(PYTHON) -m flowsdf.report.publish $(RUN)

compare: $(READY)  ## hold this run's numbers against the published ones
	@$(PYTHON) -m flowsdf.report.publish --compare $(RUN)

checkpoint: $(READY)  ## make the model that predict ships with, from a finished laptop report
	@$(PYTHON) -c "from flowsdf.report.doors import leave; from flowsdf.studies.export import main; leave(main)"

encoder: $(READY) graphics  ## train the shipped image encoder again (about 17 minutes)
	@$(PYTHON) -c "from flowsdf.report.doors import leave; from flowsdf.studies.encoder import main; leave(main)"

bench: $(READY) graphics  ## speed beside the obvious alternative, in one run
	@$(PYTHON) -m flowsdf.bench

lab: $(READY)  ## JupyterLab on this machine only; notebooks/*.py open as notebooks
	@JUPYTER_CONFIG_PATH="$(CURDIR)/notebooks/.jupyter" $(PYTHON) -m jupyterlab --ip=127.0.0.1 --ServerApp.root_dir="$(CURDIR)"

# The tests run beside the smoke report, which goes first, as its chapters wait for each other: two of them at a time,
# on a thread each. What the tests say is shown after it.
test: export OMP_NUM_THREADS := 1
test: $(READY) graphics lint  ## lint, every notebook in the smoke profile, unit tests
	@mkdir -p reports; exec $(KERNELS) sh -c 'nice -n 3 $(PYTHON) -m pytest -q --durations=20 --numprocesses=auto --maxprocesses=4 tests \
	  >reports/.tests.log 2>&1 & tests=$$!; $(MAKE) --no-print-directory -j2 report PROFILE=smoke DATA=procedural & report=$$!; \
	trap "kill $$tests $$report" INT TERM; \
	status=0; wait $$report || status=1; wait $$tests || status=1; cat reports/.tests.log; exit $$status'

check: $(READY) lint  ## lint, types, measured budgets: seconds
	@$(PYTHON) -m mypy flowsdf
	@$(PYTHON) -m pytest -q -s tests/test_structure.py

lint: $(READY)
	@$(PYTHON) -m ruff check .

graphics: $(READY)
	@$(PYTHON) -m flowsdf.report.graphics

# Imported by two processes once they are installed: these write the byte code, and none that come next has to.
ONE := accelerate, transformers.models.dinov2.modeling_dinov2
OTHER := distributed, ipykernel.kernelapp, jupytext, k3d, myst_nb, papermill, seaborn, skimage.measure, sphinx.cmd.build, pyrender

.venv/.locked: requirements.lock pyproject.toml
	@command -v python3.11 >/dev/null || { echo "FAILED: python3.11 not found; install Python 3.11" >&2; exit 1; }
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || python3.11 -m venv --clear .venv
	@echo "installing the locked packages into .venv"
	@grep -v '^#' requirements.lock | xargs -P 4 -n 20 \
	  .venv/bin/python -m pip install --quiet --no-compile --no-deps --disable-pip-version-check
	@printf 'import %s\n' "$(ONE)" "$(OTHER)" | xargs -P 2 -d '\n' -n 1 .venv/bin/python -c 2>/dev/null || true
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The chapters, and what each one follows: chapters, and files of the repository that it reads.
chapters: $(CHAPTERS)

00_data:
01_pershape: 00_data
02_weight_dit: 01_pershape 00_data
03_hypernet: 01_pershape 00_data
04_latent_diffusion: 03_hypernet 01_pershape 00_data
05_image_cond: 01_pershape 00_data
06_image_cond_weights: 01_pershape 00_data
07_multiview_cond: 06_image_cond_weights 01_pershape 00_data
08_no_standardization: 07_multiview_cond 01_pershape 00_data
09_no_dropout: 06_image_cond_weights 07_multiview_cond 08_no_standardization 01_pershape 00_data
10_weight_autoencoder: 01_pershape 00_data
11_deepsdf: 00_data
12_image_to_latent: 11_deepsdf 00_data
13_generalisation: 12_image_to_latent 11_deepsdf 00_data $(if $(filter-out procedural,$(DATA)),flowsdf/checkpoint/image_to_mesh.json)
13_shape_count: 00_data notebooks/13_generalisation.py $(wildcard $(foreach own,$(sort $(PROFILE) laptop),params/$(own)/common.yaml params/$(own)/13_generalisation.yaml params/$(own)/sweep.yaml) reports/$(PROFILE)*/sweep/*.csv reports/published/laptop/sweep/*.csv)
13b_conditioning: 11_deepsdf 00_data
13c_latent_space: 00_data
flow_sdf_stage1:
flow_sdf_stage2: flow_sdf_stage1
flow_sdf_stage3: flow_sdf_stage2 flow_sdf_stage1
99_ledger: 13c_latent_space 13b_conditioning 13_shape_count 13_generalisation 12_image_to_latent 11_deepsdf 10_weight_autoencoder 09_no_dropout 08_no_standardization 07_multiview_cond 06_image_cond_weights 05_image_cond 04_latent_diffusion 03_hypernet 02_weight_dit 01_pershape 00_data flow_sdf_stage1 flow_sdf_stage2 flow_sdf_stage3 params/claims.yaml params/phases.yaml params/findings.md $(wildcard reports/$(PROFILE)*/evidence/*.json)

$(CHAPTERS):
	@exec $(PYTHON) -m flowsdf.report.execute $@ $(RUN) $(if $(SEED),--seed $(SEED)) $(if $(filter-out 0,$(FORCE)),--force) --timeout $(TIMEOUT) --after $^
