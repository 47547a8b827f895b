# make demo    set everything up and fold a towel with the simulated robot and a small Fast-WAM that has learnt it
# make test    set everything up and run what CI runs: ruff, mypy, all tests
# make check   the quick part of it
# Both install into .venv; nothing is installed twice. make PYTHON=python3.12 chooses the interpreter.

SHELL := bash
BIN := .venv/bin
START := $(shell date +%s)
LISTS := $(wildcard requirements/*)
PACKAGE := setup.py setup.cfg

.PHONY: demo test check clean

demo: .venv/runtime.stamp
	$(BIN)/wam run towel_fold --policy fastwam_towel_tiny --pace lockstep --headless
	@echo "make demo took $$(( $$(date +%s) - $(START) )) s"

# Files in the order of their names, whole runs first: no long one is left over for the end.
test: check
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build install log

.venv/runtime.stamp: $(LISTS) $(PACKAGE)
	requirements/install.sh runtime policy
	@touch $@

.venv/dev.stamp: $(LISTS) $(PACKAGE)
	requirements/install.sh runtime policy record models realsense dev
	@touch $@ .venv/runtime.stamp
