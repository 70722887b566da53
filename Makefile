# `make demo` shows the product, `make test` proves it. Each does all of its own set-up in .venv.
PYTHON ?= python3
# Processes that share the tests (tests/conftest.py says how): five keep two cores busy, as most of a test's time is waiting
# for processes to start and end. WORKERS=0: in this one.
WORKERS ?= 5
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# LOCKED=1, as in .ci/run: what the package needs is there already, by .ci/requirements*.txt, and nothing else is fetched.
LOCKED ?=
ALONE := $(if $(LOCKED),--no-deps --no-build-isolation)
PANEL := labextension/package.json labextension/yarn.lock $(shell find labextension/src labextension/schema labextension/style -type f -not -path '*/__tests__/*')
export VENV_BIN := $(abspath $(BIN))
ALIVE := deploy/alive.sh
# One after the other, also of two makes in one clone.
IN_TURN := $(BIN)/python deploy/in_turn.py $(VENV)/.installing

.PHONY: help demo hub hub-images test test-panel lint lint-python lint-panel panel-packages coverage soak fuzz bench bench-front bench-scaling bench-access bench-hub bench-panel gpu-check audit docs clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: $(VENV)/.installed-demo ## start JupyterLab, deploy examples/tiny-chat, call it (ONCE=1: verify and end)
	$(BIN)/python examples/demo.py $(if $(ONCE),--once)

hub: $(VENV)/.installed-hub .hub/.installed-proxy ## start a real JupyterHub with DockerSpawner, deploy tiny-chat there (ONCE=1: verify and end)
	deploy/engine.sh
	deploy/images/build.sh hub6
	$(BIN)/python deploy/hub/run.py $(if $(ONCE),--once)

hub-images: .hub/.installed-proxy .venv-hub5/.installed ## what the tests with a real Hub need beside .venv: engine, images, proxy, the older Hub
	deploy/engine.sh
	deploy/images/build.sh hub6 hub5 site

test: lint test-panel ## everything that this machine can run; what it lacks is listed by name at the end
	@rm -f .pytest_cache/status
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS); status=$$?; mkdir -p .pytest_cache; echo $$status > .pytest_cache/status; exit $$status

lint: lint-python lint-panel ## style, types, layers, generated documents, of Python and of the panel

lint-python: $(VENV)/.installed-test $(VENV)/.installed-hub
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-panel test-panel: panel-packages
	labextension/panel.sh $(@:-panel=)

# Once, as `make -j` runs the two above beside each other.
panel-packages: $(VENV)/.installed-test $(VENV)/.installed-hub
	@labextension/panel.sh packages

coverage: $(VENV)/.installed-test ## tests of the pure core with branch coverage
	$(BIN)/coverage run --source jupyter_model_service/core -m pytest tests/core -q
	$(BIN)/coverage report -m

soak: $(VENV)/.installed-test ## ten minutes of mixed load while replicas are killed, hung, scaled, updated (SOAK_ARGS="--seconds 60"); fails if a call does
	$(BIN)/python benchmarks/mixed_load.py $(SOAK_ARGS)

fuzz: $(VENV)/.installed-test .fuzz/.installed ## look for requests and answers that the front's parsers misread (FUZZ_ARGS="--seconds 600 --keep")
	PYTHONPATH=.fuzz/atheris $(BIN)/python benchmarks/fuzz.py $(FUZZ_ARGS)

bench: $(VENV)/.installed-test ## start-up, memory, fail-over and streaming figures (about five minutes; nothing else beside it)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/tables.py

bench-front: $(VENV)/.installed-test .bench/.installed $(if $(shell command -v npm),.hub/.installed-proxy) ## the front beside nginx, haproxy and Jupyter's proxies (ten minutes; needs Debian's nginx, haproxy, wrk)
	$(BIN)/python benchmarks/front.py $(FRONT_ARGS); status=$$?; $(BIN)/python benchmarks/tables.py && exit $$status

bench-scaling: $(VENV)/.installed-test ## the autoscaler: waking, a step of load, the cost of decisions (three minutes; TRACE=calls.csv: beside the rules of others, too)
	$(BIN)/python benchmarks/autoscale_live.py --save
	$(BIN)/python benchmarks/autoscale.py --cost
	$(if $(TRACE),$(BIN)/python benchmarks/autoscale.py --check --trace $(TRACE))

bench-access: $(VENV)/.installed-test ## what it costs to decide about a call whose token is known (seconds; nothing else beside it; fails above 5 µs)
	$(BIN)/python benchmarks/access.py

bench-hub: $(VENV)/.installed-hub hub-images ## start-up on a real JupyterHub, beside docker run, and waking from zero (needs a Docker engine)
	$(BIN)/python benchmarks/startup.py --hub

bench-panel: $(VENV)/.installed-test ## the panel in JupyterLab: list, start, a view with 20 replicas for five minutes (needs Chromium; nothing else beside it)
	$(BIN)/python benchmarks/panel.py --save

gpu-check: $(VENV)/.installed-test ## on a machine with an NVIDIA GPU: a model on it, scaled by its use (needs torch with CUDA, transformers)
	$(BIN)/python benchmarks/gpu_check.py --write docs/gpu-check.md

audit: .audit/.installed ## ask the advisory database for each version that is locked in .ci/ (needs PyPI's own API; what it has no answer for fails)
	for lock in .ci/requirements*.txt; do .audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement $$lock || exit 1; done

docs: $(VENV)/.installed-test ## write the generated parts of docs/ again
	$(BIN)/python docs/generate_definition.py
	$(BIN)/python docs/generate_autoscaling.py
	$(BIN)/python docs/generate_cli.py
	$(BIN)/python docs/generate_first_model.py
	$(BIN)/python docs/generate_openapi.py
	labextension/panel.sh types
	$(BIN)/python docs/draw_tour.py

clean: ## remove what the other targets made
	rm -rf jupyter_model_service/labextension labextension/node_modules labextension/lib labextension/tsconfig.tsbuildinfo
	rm -rf $(VENV) .venv-hub5 .hub .bench .fuzz .audit .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; this is " + sys.version.split()[0] + ". Say which: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip

# JupyterHub's proxy is a node program; without npm the tests that need it are skipped by name.
.hub/.installed-proxy:
	@command -v npm >/dev/null || { echo "There is no npm here, and JupyterHub's proxy needs it. Install Debian's: apt-get install npm" >&2; exit 1; }
	@# 5 needs node 20; Debian 12 has 18.
	@$(ALIVE) "the Hub's proxy into .hub" npm install --silent --no-audit --no-fund --prefix .hub \
	  configurable-http-proxy@$$(node -p 'process.versions.node.split(".")[0] >= 20 ? "^5" : "^4.6"')
	@touch $@

# The older of the two lines of JupyterHub that are supported, beside the one in $(VENV).
.venv-hub5/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m venv .venv-hub5
	@# The pip that comes with Python 3.10 and 3.11 takes `jsonschema[…]` for something else than the `jsonschema` that is locked.
	@.venv-hub5/bin/python -m pip --disable-pip-version-check --quiet install --upgrade pip
	@$(if $(LOCKED),$(ALIVE) "JupyterHub 5.5 into .venv-hub5" .venv-hub5/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement .ci/requirements-hub5.txt)
	@$(ALIVE) "JupyterHub 5.5 and this package into .venv-hub5" .venv-hub5/bin/python -m pip --disable-pip-version-check --quiet install $(ALONE) --editable '.[hub]' 'jupyterhub>=5.5,<5.6' 'jsonschema<4.25'
	@touch $@

# What the benchmark of the front compares with, apart from $(VENV), which it would change.
.bench/.installed: | $(BIN)/python
	$(BIN)/python -m venv .bench
	@$(ALIVE) "jupyter-server-proxy into .bench" .bench/bin/python -m pip --disable-pip-version-check --quiet install 'jupyter-server-proxy>=4.4,<5'
	@touch $@

# Only for looking; there are wheels for Linux and Python 3.11 and newer.
.fuzz/.installed: | $(BIN)/python
	@$(ALIVE) "atheris into .fuzz" $(PIP) install --target .fuzz/atheris 'atheris>=2.3'
	@touch $@

.audit/.installed: | $(BIN)/python
	$(BIN)/python -m venv .audit
	@$(ALIVE) "pip-audit into .audit" .audit/bin/python -m pip --disable-pip-version-check --quiet install 'pip-audit>=2.7,<3'
	@touch $@

# The panel is built on the way, unless it is there as its sources are now.
$(VENV)/.installed-%: pyproject.toml $(PANEL) | $(BIN)/python
	@$(ALIVE) "this package, with what '$*' needs, into $(VENV)" $(IN_TURN) $(PIP) install $(ALONE) --editable '.[$*]'
	@[ -e jupyter_model_service/labextension/package.json ] || echo "There is no JupyterLab panel: it was not built, as that needs Node.js 20.19 or newer and npm's registry. Everything else is there."
	@touch $@
