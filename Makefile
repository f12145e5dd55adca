# Quorate. "make" alone shows what there is.

SHELL       := /bin/sh
GO          ?= go
PREFIX      ?= /usr
SYSCONFDIR  ?= /etc
DESTDIR     ?=
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
LDFLAGS      = -s -w -X github.com/quorate/quorate/crm/version.Version=$(VERSION)
export CGO_ENABLED = 0

# Names under which crm answers as the tools that agents and administrators know.
COMPAT = attrd_updater cibadmin corosync-cmapctl crm_attribute crm_error crm_failcount crm_master crm_mon crm_node crm_resource crm_rule \
         crm_simulate crm_standby crm_ticket crm_verify crmadmin ha_logger iso8601 pacemakerd stonith_admin

.DEFAULT_GOAL := help
.PHONY: help build demo test test-lab check vet lint race fuzz fidelity bench bench-policy install clean

help: ## show this list
	@echo "Quorate $(VERSION): targets"
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r t h; do printf '  %-12s %s\n' "$$t" "$$h"; done

build: ## bin/quorated, bin/crm and the compatibility names
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...
	@for n in $(COMPAT); do ln -sf crm bin/$$n; done

demo: build ## three nodes on loopback, a failover to watch (no root, under a minute); KEEP=1 leaves it running
	@bin/quorate-lab demo $(if $(KEEP),--keep)

test: ## everything that needs no root and no extra package
	$(GO) test ./...

test-lab: build ## namespaces, real agents, faults: needs root and iproute2
	bin/quorate-lab run

check: vet lint test race ## what must pass before a commit

vet:
	@fmt=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$fmt" ]; then echo "gofmt would change:"; echo "$$fmt"; exit 1; fi
	$(GO) vet ./...

lint: ## staticcheck, pinned
	$(GO) run $(STATICCHECK) ./...

race: ## the race detector over the packages with goroutines (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./transport/... ./agents/... ./crm/store/... ./crm/api/... ./crm/daemon/... ./crm/audit/...

# Not in .ci/run: what chance finds must not decide whether a commit passes. The gate runs the seeds and all that was found.
fuzz: ## every fuzz target for FUZZTIME (default 10s) each
	@FUZZTIME=$${FUZZTIME:-10s} sh .ci/fuzz

fidelity: build ## Pacemaker's scheduler corpus, where ../shared is there
	@sh .ci/fidelity

bench: ## benchmarks with their baseline in docs/performance.md
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-policy: ## the policy engine's table of docs/performance.md, on one core
	$(GO) test ./crm/policy -run '^$$' -bench 'Decide$$|DecideMix|Execute|ReadXML' -benchtime 1s -cpu 1 -timeout 30m

install: build ## DESTDIR and PREFIX are honoured
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d \
	           $(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	           $(DESTDIR)$(PREFIX)/share/doc/quorate/operating $(DESTDIR)$(SYSCONFDIR)/quorate
	install -m 0755 bin/quorated bin/crm $(DESTDIR)$(PREFIX)/sbin/
	@for n in $(COMPAT); do ln -sf crm $(DESTDIR)$(PREFIX)/sbin/$$n; done
	install -m 0644 docs/dist/quorated.service $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -m 0644 docs/dist/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/quorate.conf
	install -m 0644 docs/dist/tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/quorate.conf
	install -m 0644 docs/dist/crm.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/crm
	install -m 0644 README.md LICENSE docs/*.md $(DESTDIR)$(PREFIX)/share/doc/quorate/
	install -m 0644 docs/operating/*.md $(DESTDIR)$(PREFIX)/share/doc/quorate/operating/

clean: ## remove what build made
	rm -rf bin
