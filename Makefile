# qscore: `make demo` runs the main job, `make test` passes the tests; both set everything up themselves.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: help setup demo demo-elastic test test-elastic chaos-elastic chaos overload soak bench-limits attack contract upgrade-test fuzz broken lint macros wheel test-deployment sbom image-check drawing package package-elastic appinspect bench bench-engine bench-compiled bench-command bench-queue bench-service bench-elastic quality lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make the virtual environment with locked, hashed dependencies

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "qscore needs Python 3.11 or later; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or two) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup package ## the main job: a search through | qscore, scored rows, indexed events, the notable  [DATA= LABEL= POSITIVE=]
	@$(BIN)/python -m demo --app dist/qscore-$(VERSION).tar.gz \
	  $(if $(DATA),--data "$(DATA)") $(if $(LABEL),--label "$(LABEL)") \
	  $(if $(POSITIVE),--positive "$(POSITIVE)") $(if $(MODEL),--model "$(MODEL)")

demo-elastic: setup ## documents in a real Elasticsearch, scored by the connector, found by the rules  [DATA= LABEL= POSITIVE=]
	@$(BIN)/python -m demo.elastic \
	  $(if $(DATA),--data "$(DATA)") $(if $(LABEL),--label "$(LABEL)") \
	  $(if $(POSITIVE),--positive "$(POSITIVE)") $(if $(MODEL),--model "$(MODEL)")

test: setup ## every test that needs Python and pip alone
	@$(BIN)/python -m tests

test-elastic: setup ## the tests that need a real Elasticsearch (given by URL, or started by Maven or Docker)
	@$(BIN)/python -m pytest -q tests/elastic

chaos-elastic: setup ## kills everything while documents arrive: in the end each has one score  [KILLS=20 SEED=1]
	@$(BIN)/python -m tests.elastic.chaos --kills $(or $(KILLS),20) --seed $(or $(SEED),1)

fuzz: setup ## every decoder and loader on inputs made from valid ones  [N=100000 SEED=1]
	@$(BIN)/python -m tests.fuzz --inputs $(or $(N),100000) --seed $(or $(SEED),1)

attack: setup ## a real `qscore up` under attack: another caller must be answered all the while  [SECONDS=30 PROBES=200 SEED=1]
	@$(BIN)/python -m tests.attack --seconds $(or $(SECONDS),30) --probes $(or $(PROBES),200) --seed $(or $(SEED),1)

chaos: setup ## kills everything while rows are scored and written: none is lost, none has two results  [MINUTES=10 SEED=1]
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

overload: setup ## twice and ten times what can be scored: memory, and what a caller of few rows notices  [SECONDS=300]
	@$(BIN)/python -m tests.load.overload --seconds $(or $(SECONDS),300)

soak: setup ## an hour at 70 % of what can be scored: nothing grows  [MINUTES=60]
	@$(BIN)/python -m tests.load.soak --minutes $(or $(MINUTES),60)

broken: setup ## breaks each guarantee in a copy of the tree: a named test must notice (half an hour)  [ONLY=words]
	@$(BIN)/python -m tests.broken --only "$(ONLY)"

lint: setup ## formatting, lint, types, import contracts, Python 3.9 paths
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/vermin -q --no-tips --eval-annotations -t=3.9- --violations bin splunk_app scorer/wire

macros: setup ## renew the generated part of default/macros.conf, after a recipe changed
	@$(BIN)/python -c 'from pathlib import Path; from scorer.rows.recipe.macros import renewed; \
	  file = Path("default/macros.conf"); file.write_text(renewed(file.read_text("utf-8")), "utf-8")'

wheel: setup ## build dist/qscore-<version>-py3-none-any.whl, which pip installs
	@$(BIN)/python -m hatchling build -t wheel

test-deployment: setup .venv-deployment/.ready ## Dockerfile, compose file, chart, manifests and units against the tools that know them
	@$(BIN)/python -m pytest -q tests/deployment

sbom: setup .venv-deployment/.ready ## dist/qscore-<version>.cdx.json and dist/licences.md of what requirements/run.txt installs
	@mkdir -p dist
	@$(BIN)/python packaging/distributions.py > dist/distributions.json
	@.venv-deployment/bin/python packaging/sbom.py --version $(VERSION) --out dist < dist/distributions.json
	@rm dist/distributions.json

image-check: wheel ## the Dockerfile's instructions and start commands without Docker, in a read-only root (root, mmdebstrap)
	@QSCORE_IN_OWN_MOUNTS=1 unshare --mount --pid --fork --kill-child --mount-proc \
	  $(BIN)/python packaging/docker/try_without_docker.py

drawing: setup ## draw docs/dataflow.svg anew
	@$(BIN)/python packaging/draw_dataflow.py

package: setup ## build dist/qscore-<version>.tar.gz, the Splunk app
	@$(BIN)/python packaging/build_app.py

package-elastic: setup ## build dist/qscore-elastic-<version>.zip, the integration package, and Kibana's files
	@$(BIN)/python packaging/build_elastic.py

.venv-appinspect/.ready: requirements/appinspect.txt
	@test -x .venv-appinspect/bin/python || $(PYTHON) -m venv .venv-appinspect
	@.venv-appinspect/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv-bench/.ready: requirements/bench.txt pyproject.toml
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv-deployment/.ready: requirements/deployment.txt
	@test -x .venv-deployment/bin/python || $(PYTHON) -m venv .venv-deployment
	@.venv-deployment/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv-go/.ready: requirements/go.txt
	@test -x .venv-go/bin/python || $(PYTHON) -m venv .venv-go
	@.venv-go/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

upgrade-test: setup ## rolling upgrade from the version before, under load: nothing lost, nothing wrong
	@$(BIN)/python -m tests.upgrade

.venv-contract/.ready: requirements/contract.txt
	@test -x .venv-contract/bin/python || $(PYTHON) -m venv .venv-contract
	@.venv-contract/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

contract: setup .venv-contract/.ready ## generated requests against a real gateway, held against its OpenAPI description  [EXAMPLES=60 SEED=1]
	@$(BIN)/python -m tests.contract --examples $(or $(EXAMPLES),60) --seed $(or $(SEED),1)

appinspect: .venv-appinspect/.ready package ## Splunk's own checks on the built app (needs libmagic1)
	@$(BIN)/python packaging/appinspect.py dist/qscore-$(VERSION).tar.gz

bench: ## the three benchmarks, side by side with their peers; a goal that is missed does not keep the others from running
	@$(MAKE) --no-print-directory --keep-going bench-engine bench-queue bench-command

bench-engine: .venv-bench/.ready ## scoring engine against its peers, in an environment that holds them
	@.venv-bench/bin/python -m bench.engine

bench-compiled: setup ## compiled loops of the engine against NumPy, and against NumPy in ten lines
	@$(BIN)/python -m bench.compiled

bench-queue: setup ## gateway and queue against a raw msgpack round trip
	@$(BIN)/python bench/roundtrip.py

bench-service: .venv-bench/.ready ## gateway, queue and worker: rows a second, two workers, transport, slowest small batches
	@.venv-bench/bin/python -m bench.service

bench-command: setup package ## | qscore against a do-nothing splunklib command
	@$(BIN)/python bench/command.py

build/v010/.ready:
	@mkdir -p build/v010
	@git archive 53776b9 scorer | tar -x -C build/v010
	@touch $@

bench-delivery: setup build/v010/.ready ## what a written score costs beside scoring, against 0.1.0 in the same run
	@$(BIN)/python bench/delivery.py --old build/v010

bench-limits: setup ## what limits of keys and fair turns cost the gateway  [PAIRS=30]
	@$(BIN)/python -m bench.limits --pairs $(or $(PAIRS),30)

bench-elastic: setup ## the Elastic connector against elasticsearch-py copying the same documents  [DOCUMENTS=200000]
	@$(BIN)/python bench/elastic.py --documents $(or $(DOCUMENTS),200000)

quality: setup ## the figures of docs/results.md on real captures (needs ../shared/data or QSCORE_SHARED_DATA)
	@$(BIN)/python bench/quality.py

LOCK := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
EXTRAS := --extra train --extra qiskit --extra fast --extra elastic

lock: setup ## renew requirements/*.txt from pyproject.toml (needs uv)
	$(LOCK) --extra train --extra elastic --extra fast --group locked -o requirements/run.txt pyproject.toml
	$(LOCK) $(EXTRAS) --group dev -o requirements/dev.txt pyproject.toml
	$(LOCK) $(EXTRAS) --group dev --group bench -o requirements/bench.txt pyproject.toml
	$(LOCK) --group appinspect -o requirements/appinspect.txt
	$(LOCK) --group contract -o requirements/contract.txt
	$(LOCK) --group elastic9 -o requirements/elastic9.txt
	$(LOCK) --group go -o requirements/go.txt
	$(LOCK) --group deployment -o requirements/deployment.txt

clean: ## remove the environments and what was built
	rm -rf .venv .venv-appinspect .venv-bench .venv-contract .venv-deployment .venv-go dist build
