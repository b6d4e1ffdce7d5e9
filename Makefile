# nuage: build, engine, demo, test, labs, lint, bench, clean. Nothing is needed before but git, Go, make and, for an engine,
# Docker or root on Debian or Ubuntu.

GO      ?= go
ARCH    := $(shell $(GO) env GOARCH)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GUEST   := cmd/nuage/guestbin/nuage-guest-$(ARCH)
STATIC  := CGO_ENABLED=0 $(GO) build -trimpath

.PHONY: build guest engine demo test labs lint bench clean

build: guest
	@$(STATIC) -ldflags "-s -w -X main.buildVersion=$(VERSION)" -o bin/nuage ./cmd/nuage

guest:
	@GOOS=linux GOARCH=$(ARCH) $(STATIC) -ldflags "-s -w -buildid=" -o $(GUEST) ./cmd/nuage-guest

engine:
	@bash compute/images/setup.sh

demo: build
	@bash controlplane/labs/demo.sh

test: guest
	@bash .ci/test

labs: build
	@bash .ci/labs

lint:
	@bash .ci/lint

bench: build
	@bash .ci/bench

clean:
	@rm -rf bin $(GUEST)
