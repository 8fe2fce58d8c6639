# Everything a contributor or CI does with this tree. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
DESTDIR ?=
BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man1
BASHDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSHDIR = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISHDIR = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

# A tarball has no .git, and may lie inside somebody else's repository.
VERSION ?= $(shell { test -e .git && git describe --tags --always --dirty 2>/dev/null; } || echo unreleased)

# Added to every `go test` below, for example GOTESTFLAGS=-v.
GOTESTFLAGS ?=
FUZZTIME ?= 20s

# The version comes from VERSION, so the go command need not ask git, which
# refuses a checkout that belongs to another user.
export GOFLAGS := -buildvcs=false $(GOFLAGS)
# Everything is pure Go, except that the race detector needs C.
export CGO_ENABLED := 0

LINT = go tool -modfile=tools/go.mod golangci-lint
SCRIPTS = $(wildcard .ci/run tests/*.sh tests/*/*.sh)

# A module of its own: what Firecracker's SDK depends on stays out of the product's.
SDK_TESTS = tests/firecracker

# Codecs that start no goroutine, lock nothing, change no variable of a package and know of
# no accelerator. The race detector would take minutes and has nothing to look at (those who
# use them at once are raced), and a second processor or a model of the device changes
# nothing of what they do.
SEQUENTIAL_PACKAGES = iaa/deflate iaa/huffman iaa/inflate store/densezstd vmm/guest/assemble
WITHOUT_SEQUENTIAL = { grep -vxF "$$(printf 'sabrefs/%s\n' $(SEQUENTIAL_PACKAGES))" || true; }

# Packages with tests, without tests/ itself: there the work is done by other
# processes, which the race detector does not see. So is that of the tests below, in
# which sabrefs-bench times QEMU, the command and the kernel.
TIME_OTHER_PROCESSES = TestColdstart|TestFault|TestPeers|TestPrefetch
PACKAGES_TO_RACE = go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... \
	| { grep -v '^sabrefs/tests\(/\|$$\)' || true; } | $(WITHOUT_SEQUENTIAL)

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# disablethp: where the kernel hands out huge pages unasked, every process with a machine
# would take 4 MiB more than it uses. The daemon asks for those that it wants.
LDFLAGS = -X main.version=$(VERSION) -X runtime.godebugDefault=disablethp=1

.PHONY: build
build: ## Build static binaries bin/sabrefs and bin/sabrefs-bench
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/sabrefs ./cmd/sabrefs-bench

# Built only when a source is newer, so that after `make build`, `sudo make
# install` needs no Go.
bin/sabrefs: $(shell find . -path ./tests -prune -o \( -name '*.go' -o -name go.mod \) -print)
	@$(MAKE) --no-print-directory build

.PHONY: install
install: bin/sabrefs ## Install binary, man pages and completions (PREFIX, DESTDIR)
	install -d '$(BINDIR)' '$(MANDIR)' '$(BASHDIR)' '$(ZSHDIR)' '$(FISHDIR)'
	install -m 0755 bin/sabrefs '$(BINDIR)/sabrefs'
	bin/sabrefs man '$(MANDIR)'
	bin/sabrefs completion bash > '$(BASHDIR)/sabrefs'
	bin/sabrefs completion zsh > '$(ZSHDIR)/_sabrefs'
	bin/sabrefs completion fish > '$(FISHDIR)/sabrefs.fish'

.PHONY: deps
deps: ## Install the Debian packages that tests and lint need (as root)
	tests/deps.sh

.PHONY: test
test: deps ## Run all tests, with a real guest on a real mount (GOTESTFLAGS)
	go test -timeout 30m $(GOTESTFLAGS) ./...
	go -C $(SDK_TESTS) test -timeout 15m $(GOTESTFLAGS) ./...

.PHONY: test-one-cpu
test-one-cpu: ## Run fs, prefetch and store on one processor, where a deadlock with the kernel shows
	packages=$$(go list ./fs/... ./prefetch/... ./store/... | $(WITHOUT_SEQUENTIAL)); test -n "$$packages"; \
		GOMAXPROCS=1 go test -count=1 -timeout 15m $(GOTESTFLAGS) $$packages

.PHONY: race
race: ## Run tests of all packages but tests/ under the race detector (needs gcc)
	@command -v gcc >/dev/null || { echo 'make race: the race detector needs gcc' >&2; exit 1; }
	packages=$$($(PACKAGES_TO_RACE)); test -n "$$packages"; \
		CGO_ENABLED=1 go test -race -timeout 20m -skip '^($(TIME_OTHER_PROCESSES))$$' $(GOTESTFLAGS) $$packages

.PHONY: vet
vet: ## Run go vet
	go vet ./...
	go -C $(SDK_TESTS) vet ./...

# SABREFS_IAA reaches the daemons and tools that tests start, too.
.PHONY: test-model
test-model: deps ## Run the tests with a model of the accelerator doing DEFLATE
	packages=$$(go list ./iaa/... ./store/... ./prefetch/... ./fs/... ./cmd/... ./tests/e2e/... | $(WITHOUT_SEQUENTIAL)); test -n "$$packages"; \
		SABREFS_IAA=model go test -count=1 -timeout 15m $(GOTESTFLAGS) $$packages

.PHONY: lint
lint: ## Run golangci-lint (pinned in tools/go.mod), go mod tidy -diff and shellcheck
	$(LINT) config verify
	$(LINT) run
	go mod tidy -diff
	go -C $(SDK_TESTS) mod tidy -diff
	@command -v shellcheck >/dev/null || { echo 'make lint: shellcheck is missing, run tests/deps.sh' >&2; exit 1; }
	shellcheck $(SCRIPTS)

.PHONY: imports
imports: ## Check import direction, unsafe, file names and package comments
	go test -count=1 ./tests/imports

.PHONY: fuzz
fuzz: ## Run every fuzz function for FUZZTIME (20s) each
	FUZZTIME=$(FUZZTIME) tests/fuzz.sh

.PHONY: e2e
e2e: deps ## Run only the end-to-end tests, verbosely
	go test -count=1 -timeout 30m -v $(GOTESTFLAGS) ./tests/e2e/...

.PHONY: lab
lab: deps ## Run the tests that need KVM, Linux guests among them, in an emulated machine that has it
	go run ./tests/lab/cmd/lab

.PHONY: bench
bench: build deps ## Build guests, compare with peers on their memory, time cold starts
	python=$$(go run ./tests/guest/cmd/guestsnap --guest python); node=$$(go run ./tests/guest/cmd/guestsnap --guest node); \
		bin/sabrefs-bench peers --input "$$python/mem_file"; \
		bin/sabrefs-bench coldstart --guest "$$python" --guest "$$node" --functions python,node

.PHONY: demo
demo: build ## Pack, mount, resume, record and start cold a guest before your eyes (DEMO=builtin|linux)
	tests/demo.sh $(DEMO)

.PHONY: check
check: lint vet imports test race lab ## Everything CI checks: lint, vet, imports, test, race, lab

.PHONY: man
man: build ## Generate man pages into docs/man
	mkdir -p docs/man
	bin/sabrefs man docs/man

.PHONY: clean
clean: ## Remove what build made
	rm -rf bin
