# One line per target: all that is needed is Python 3.11+ and make; the first call installs the rest into .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test up down clean lint bench chaos simulate mutants lock licences wheel
ORDERS ?= 2000
INSTALL = @sh scripts/bootstrap.sh &&
PY = .venv/bin/python

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo:  ## the whole thing, once: ORDERS=2000 orders through Kafka, scored, stored, reconciled
	$(INSTALL) $(PY) -m devtools demo --orders $(ORDERS)

# Hundreds of programs are started: without bytecode each of them would compile the code again.
test:  ## every test, with the services that they need (PYTEST='-k name' for some)
	$(INSTALL) PYTHONDONTWRITEBYTECODE= $(PY) -m pytest $(or $(PYTEST),-n 6)

up:  ## the local stack in the background: Kafka, PostgreSQL and replica, Redis, simulated risk API
	$(INSTALL) $(PY) -m devtools up

down:  ## stop the local stack; its data stays
	$(INSTALL) $(PY) -m devtools down

clean:  ## stop the local stack and remove its data
	$(INSTALL) $(PY) -m devtools clean

lint:  ## ruff and mypy --strict
	$(INSTALL) $(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

bench:  ## the same job, its limit and other frameworks, interleaved, medians (BENCH='--rounds 5'; or BENCH=growth, web, flame, join, months, operations; audit, audits (ORDERS=…); whole: all that was promised, 30 minutes)
	$(INSTALL) PYTHONPATH=. $(PY) -m $(if $(filter audit audits growth join web flame months operations whole,$(firstword $(BENCH))),bench.$(BENCH),bench.run $(BENCH)) $(if $(filter audit,$(firstword $(BENCH))),$(if $(filter-out file,$(origin ORDERS)),--orders $(ORDERS)))

chaos:  ## orders flow while things are killed, by a seed; then an audit (SEED=1 MINUTES=10 FAULTS=kill,… BROKERS=3 WORKERS=3 PREVIOUS=revision PAUSE=2), or with ALERTS=1 a fault for every alert (ONLY=… MINUTES=2 healthy before)
	$(INSTALL) $(PY) -m $(if $(ALERTS),tests.chaos.alerts $(if $(ONLY),--only $(ONLY)),tests.chaos.runner $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(BROKERS),--brokers $(BROKERS)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(PREVIOUS),--previous $(PREVIOUS)) $(if $(PAUSE),--pause $(PAUSE))) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE))

simulate:  ## whole workers under virtual time, by seeds (SEEDS=1000 FIRST=1; SEED=n for one and its story; FAULT=name or all; LOG=file to go on from; SEEDS=0 until it is stopped)
	$(INSTALL) $(PY) -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FIRST),--first $(FIRST)) $(if $(FAULT),--fault $(FAULT)) $(if $(LOG),--log $(LOG))

mutants:  ## random changes of the core by a seed, and which of them the tests kill (SEED=1 COUNT=300; LOG=file to go on from)
	$(INSTALL) $(PY) -m tests.mutants $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(LOG),--log $(LOG))

lock:  ## requirements/lock.txt again, from pyproject.toml
	$(INSTALL) $(PY) scripts/lock.py

licences:  ## docs/reference/licences.md again, for the packages of requirements/runtime.txt
	$(INSTALL) $(PY) scripts/licences.py

wheel:  ## dist/: the wheel, the same bytes for the same commit, and its bill of materials (CycloneDX)
	$(INSTALL) $(PY) -m build --wheel --no-isolation && $(PY) scripts/sbom.py dist
