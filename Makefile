# `make site` and `make test` are all that a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/inference.host
MODEL := $(CACHE)/models/gemma-3-270m-q4_k_m.gguf
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
READY := .venv/.ready
LAB := molecule/lab/lab
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Of the checkout, whatever the caller has set.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

## What is installed -----------------------------------------------------------------------------------------------

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "PYTHON is $(PYTHON) ($$($(PYTHON) --version)); it must be Python 3.11 or newer."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { $(SUDO) apt-get update && $(SUDO) apt-get install --yes --no-install-recommends python3-venv; }
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install --disable-pip-version-check -r requirements.txt
	touch $@

$(MODEL): | $(READY)
	molecule/lab/sample-model $@

# Of Debian's package, without installing it: the service would start.
PROMTOOL := build/promtool/usr/bin/promtool
$(PROMTOOL):
	mkdir -p build/promtool
	cd build/promtool && { apt-get download prometheus || { $(SUDO) apt-get update && apt-get download prometheus; }; }
	cd build/promtool && dpkg --fsys-tarfile prometheus_*.deb | tar --extract ./usr/bin/promtool
	rm build/promtool/prometheus_*.deb

.PHONY: setup sample lock promtool browser
setup: $(READY) ## Make the virtual environment with the pinned packages
sample: $(MODEL) ## Fetch the sample model (Gemma 3 270M, 240 MB)
promtool: $(PROMTOOL) ## Fetch promtool, with which the unit tests try the alert rules
browser: # for the tests of the report's page
	@command -v chromium >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install --yes --no-install-recommends chromium; }
lock: $(READY) ## Renew requirements.txt from requirements.in
	.venv/bin/pip install --quiet uv
	.venv/bin/uv pip compile --universal --python-version 3.11 --upgrade requirements.in -o requirements.txt

## The lab and the site --------------------------------------------------------------------------------------------

.PHONY: lab lab-down site plan verify restore
lab: $(READY) ## Start the container lab's host, if it does not stand
	$(LAB) up lab1

lab-down: ## Remove the labs, and what an interrupted test left: nothing stays
	$(LAB) down --all
	INFERENCE_LAB_ID=molecule INFERENCE_LAB_STATE=$(CURDIR)/build/lab $(LAB) down --all
	INFERENCE_LAB_ID=serving INFERENCE_LAB_SUBNET=10.89.85.0/24 INFERENCE_LAB_STATE=$(CURDIR)/build/lab $(LAB) down --all
	INFERENCE_LAB_ID=measuring INFERENCE_LAB_SUBNET=10.89.86.0/24 INFERENCE_LAB_STATE=$(CURDIR)/build/lab $(LAB) down --all
	INFERENCE_LAB_ID=monitoring INFERENCE_LAB_SUBNET=10.89.87.0/24 INFERENCE_LAB_STATE=$(CURDIR)/build/lab $(LAB) down --all
	INFERENCE_LAB_ID=runner INFERENCE_LAB_STATE=$(CURDIR)/build/lab $(LAB) down --all
	molecule/lab/machine down --all
	INFERENCE_LAB_ID=molecule INFERENCE_LAB_STATE=$(CURDIR)/build/lab molecule/lab/machine down --all

site: lab $(MODEL) ## Turn the lab host into an inference host and show its answer
	ansible-playbook -i inventories/lab site.yml

plan: lab $(MODEL) ## Show what `make site` would do
	ansible-playbook -i inventories/lab playbooks/plan.yml

verify: lab $(MODEL) ## Ask the lab host whether everything still is as `make site` left it
	ansible-playbook -i inventories/lab playbooks/verify.yml

restore: lab $(MODEL) ## Give the lab host back as it was before the first `make site`
	ansible-playbook -i inventories/lab playbooks/restore.yml

## Tests -----------------------------------------------------------------------------------------------------------

.PHONY: test lint unit gates molecule serving measuring monitoring runner machine build
test: lint unit gates molecule serving measuring monitoring runner machine ## Run everything

# Each part says how long it took, whether it passed or not.
timed = started=$$SECONDS; trap 'echo "== $@: $$((SECONDS - started)) s"' EXIT;

lint: $(READY) ## ansible-lint (production profile) and ruff
	@$(timed) tests/gates/run lint

unit: $(READY) $(PROMTOOL) browser ## Unit tests
	@$(timed) pytest -n auto --dist loadfile tests/unit

gates: $(READY) $(PROMTOOL) browser ## ansible-test sanity, galaxy-importer, the built archive, other versions of ansible-core
	@$(timed) tests/gates/run sanity galaxy matrix

molecule: $(READY) $(MODEL) ## Scenario `default` on a container lab of its own
	@$(timed) molecule/run default

serving: $(READY) $(MODEL) ## Scenario `serving`: two hosts and a balancer under load, of which no request may fail
	@$(timed) molecule/run serving

measuring: $(READY) $(MODEL) ## Scenario `measuring`: a host is measured, tuned by measuring and reported on
	@$(timed) molecule/run measuring

monitoring: $(READY) $(MODEL) ## Scenario `monitoring`: a real Prometheus reads a real engine, and says when it is stopped
	@$(timed) molecule/run monitoring

runner: $(READY) $(MODEL) ## The site through ansible-runner, as a CI system does it
	@$(timed) pytest -s tests/runner

machine: $(READY) ## Scenario `machine` on an emulated machine with a kernel of its own
	@$(timed) molecule/run machine

build: $(READY) ## Build the collection's archive
	ansible-galaxy collection build --force --output-path build
