# Each word is one script in ci/; continuous integration runs the same ones.
.PHONY: help run demo build test fmt lint bench fuzz soak clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: build ## Build and start the server on this machine
	bin/securelink serve

demo: build ## Three people talk; beside it, what the server saw
	bin/securelink demo

build: ## Build bin/securelink
	ci/build.sh

test: ## Everything that must pass: format, vet, unit, scenario, interoperability and browser tests
	ci/test.sh

fmt: ## Format the sources
	ci/fmt.sh

lint: ## Format check and vet, natively and for js/wasm
	ci/lint.sh

bench: ## Benchmarks of every package
	ci/bench.sh

fuzz: ## Every fuzz target, FUZZTIME each (default 1m)
	ci/fuzz.sh

soak: ## Long runs: SEEDS seeds of the model, thousands of crashes
	ci/soak.sh

clean: ## Remove what was built
	rm -rf bin web/.build && find web/dist -mindepth 1 ! -name README -delete
