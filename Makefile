# Every command that README.md names. `make test` is what CI runs, after formatting and lints.

PYTHON ?= python3
PHOTOS ?= testdata/photos
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
VENV := target/venv
BIN := target/release/pixpipe
DEMO := STORE=dir:. DEST_BUCKET=target DEST_PREFIX=demo/ SIZES=224,299 LOG_FORMAT=text

.PHONY: help tools build demo test lint chaos goldens parity ministack pipe image image-test sbom e2e bench fuzz clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

tools: ## install what the build needs beside Rust: a C compiler, cmake and nasm
	@missing=""; for tool in cc cmake nasm; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] || { echo "installing$$missing"; $(SUDO) apt-get update -qq; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$(echo $$missing | sed 's/\bcc\b/gcc libc6-dev/') >/dev/null; }

build: tools ## the release binary
	cargo build --release

demo: tools ## the shipped photos at 224 and 299 px, and a contact sheet of them
	@rm -rf target/demo
	cargo build --release --bin pixpipe --example contact_sheet
	@export $(DEMO) SQS_BODY="$$(cat testdata/events/demo.json)"; \
	  $(BIN) && target/release/examples/contact_sheet target/demo/contact-sheet.png

$(VENV)/ok: testdata/requirements.txt
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { $(SUDO) apt-get update -qq; $(SUDO) apt-get install -y -qq python3-venv >/dev/null; \
	  $(PYTHON) -m venv $(VENV); }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r testdata/requirements.txt
	@touch $@

# 77: something that this machine does not have, and that cannot be installed; a line SKIPPED says what.
test: tools goldens ## everything: unit, property and behaviour tests, real S3 servers, Pillow, image, module, the whole flow
	cargo test --locked
	cargo test --locked --features fault-switch --test chaos
	$(MAKE) parity
	$(MAKE) ministack
	image/build.sh && $(PYTHON) tests/image.py || [ $$? = 77 ]
	$(MAKE) -j2 --output-sync=target pipe e2e # the one computes while the other waits

lint: tools ## formatting, clippy and docs, all without a warning
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

goldens: $(VENV)/ok ## see that the goldens are what Pillow makes
	$(VENV)/bin/python testdata/make_goldens.py --check

chaos: tools ## 200 batches through every fault, and a model of two racing tasks in every order: about 20 minutes
	CHAOS_BATCHES=200 cargo test --locked --features fault-switch --test chaos storm -- --nocapture
	cargo test --locked --test it race -- --ignored --nocapture

parity: $(VENV)/ok ## compare with Pillow on PHOTOS: every filter, fit and size
	cargo test --locked --no-run --test it # and with it the program, in the very build that was tested
	$(VENV)/bin/python tests/parity/parity.py --binary target/debug/pixpipe $(PHOTOS)

ministack: ## the binary against ministack: S3 with checksums, conditions and IAM enforced
	tests/ministack.sh

pipe: ## the Terraform module: mocked plans, service models, policies, seeded mistakes (needs terraform and node)
	acceptance/pipe/run || [ $$? = 77 ]

image: ## the container image with docker, podman or buildah, and its compressed size
	image/build.sh

image-test: image ## what is in the image, and that it runs without rights, files or a writable path
	$(PYTHON) tests/image.py

sbom: ## target/sbom.cdx.json: what the binary is made of, C libraries included
	$(PYTHON) image/sbom.py

e2e: tools ## the whole flow on this machine: terraform apply, uploads, tasks in podman, a bad day (needs terraform)
	acceptance/e2e/run || [ $$? = 77 ]

bench: build ## criterion per stage, the start, then the peers over PHOTOS: benches/README.md
	PIXPIPE_BENCH_PHOTOS=$(PHOTOS) cargo bench --bench stages
	$(PYTHON) benches/start.py --binary $(BIN)
	$(PYTHON) benches/peers/run.py --binary $(BIN) $(PHOTOS)

fuzz: ## a minute of each fuzz target (needs cargo-fuzz)
	for target in event decode; do RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=60 || exit 1; done

clean:
	cargo clean
