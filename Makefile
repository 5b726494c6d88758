# make run, make test: on a machine with Python 3.11 or newer, git and make.

VENV ?= .venv
PIP   = $(VENV)/bin/python -m pip --quiet --disable-pip-version-check
# The first interpreter that is new enough; PYTHON=… names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: run test check coverage instructions heavy mutation bench clean

# Decisions go to a file, so that `camguard check --id` finds them and the terminal shows what the gateway reports.
run: export CAMGUARD_DECISION_LOG__PATH ?= $(CURDIR)/decisions.log
run: $(VENV)/installed-run config/keys.json
	$(VENV)/bin/camguard serve --config config/camguard.toml

test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest

check: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Without the test of CPU time that `make test` runs: here it would measure the tracer, too.
coverage: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -n 0 --cov=camguard tests/test_cases.py tests/test_ipset.py tests/engine tests/policy \
		tests/lint tests/internals --deselect \
		tests/policy/test_targets.py::test_a_thousand_resources_and_401_statements_are_decided_within_50_ms

# Instructions that camguard adds to a request: above a bound it fails. They are counted, so that a busy machine
# changes nothing.
instructions: $(VENV)/installed-dev
	$(VENV)/bin/python benchmarks/instructions.py --gate

# What takes longer than a change should wait for; .ci/run runs it too. What compares times, and what needs a
# machine of its own, runs in one process.
ALONE = tests/authn tests/faults tests/fuzz tests/telemetry
heavy: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -m heavy $(ALONE:%=--ignore=%)
	$(VENV)/bin/python -m pytest -n 0 -m heavy $(ALONE)

# Every small fault put into what decides must make a test fail: less than three hours, in two processes. What
# was judged is kept in ~/.cache/camguard, so that an interrupted run continues.
mutation: $(VENV)/installed-dev
	$(MAKE) --jobs=2 --keep-going mutation-shard-1 mutation-shard-2

mutation-shard-%: $(VENV)/installed-dev
	$(VENV)/bin/python -m tests.mutation --shard $*/2

bench: $(VENV)/installed-dev
	$(PIP) install --group bench
	$(VENV)/bin/python benchmarks/results.py

# Keys are drawn once and stay; the file is mode 0600 and never committed.
config/keys.json: | $(VENV)/installed-run
	$(VENV)/bin/camguard init config --only-keys

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "camguard needs Python 3.11 or newer: install it, or make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'

$(VENV)/installed-run: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[serve]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[serve]' --group dev
	@touch $@ $(VENV)/installed-run

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
