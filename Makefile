# Every command of the documents. `make check` before a commit, `make test` before a release; `make test` is what CI
# runs.

PYTHON ?= python3
PHOTOS ?= testdata/photos
CHAOS_BATCHES ?= 200
TRIPLE := $(shell rustc --print host-tuple)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
VENV := target/venv
# One set of features for all tests, so that nothing is compiled twice.
CARGO_TEST := cargo test --locked --workspace --features fault-switch
BIN := target/$(TRIPLE)/dist/pixpipe
DEMO_BIN := target/$(TRIPLE)/quick

.PHONY: help tools build demo check test lint format clippy deny goldens chaos parity presets ministack pipe delivery \
	image image-test sbom e2e bench bench-gate fuzz clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

tools: ## install what the build needs beside Rust: a C compiler, cmake and nasm
	@scripts/tools.sh

build: tools ## the program that ships: static, with every optimisation
	cargo build --locked --profile dist
	@ls -l $(BIN)

# Without AWS and hardly optimised: what takes the time is the compiler.
demo: tools ## the shipped photos at 224 and 299 px, and a contact sheet of them: about 2 minutes
	@rm -rf target/demo
	@echo "Building without AWS and without optimisation: usually 2 minutes on 2 cores, the first time."
	@cargo build --locked --profile quick --no-default-features --package pixpipe --package contact-sheet
	@mkdir -p target/demo
	@echo "Making 224 and 299 px images of the 7 photos in testdata/photos:"
	@export STORE=dir:. DEST_BUCKET=target DEST_PREFIX=demo/ SIZES=224,299; \
	  export SQS_BODY="$$(cat testdata/events/demo.json)"; \
	  LOG_FORMAT=text $(DEMO_BIN)/pixpipe && \
	  SKIP_UNCHANGED=false LOG_FORMAT=json $(DEMO_BIN)/pixpipe > target/demo/lines.json && \
	  echo "Drawing all of them on one sheet:" && \
	  $(DEMO_BIN)/contact-sheet . target target/demo/contact-sheet.png < target/demo/lines.json

check: tools ## format, lints, unit and behaviour tests: under 5 minutes after the first build
	@$(PYTHON) scripts/test.py check

test: tools ## everything: with real S3 servers, Pillow, the image, the module and the whole flow: about 20 minutes
	@$(PYTHON) scripts/test.py test

lint: format clippy deny ## formatting, clippy and documentation without a warning; the rules on dependencies

format:
	cargo fmt --all --check
	$(PYTHON) scripts/columns.py
	scripts/toolchain.sh

clippy: tools
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	cargo clippy --locked --package pixpipe --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

deny: ## licences, sources and advisories of all crates (needs cargo-deny)
	@scripts/deny.sh

$(VENV)/ok: testdata/requirements.txt
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { $(SUDO) apt-get update -qq; \
	  $(SUDO) apt-get install -y -qq python3-venv >/dev/null; $(PYTHON) -m venv $(VENV); }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r testdata/requirements.txt
	@touch $@

goldens: $(VENV)/ok ## see that the goldens are what Pillow makes
	$(VENV)/bin/python testdata/make_goldens.py --check

chaos: tools ## 200 batches through every fault, and a model of two racing tasks in every order: about 20 minutes
	CHAOS_BATCHES=$(CHAOS_BATCHES) $(CARGO_TEST) --test chaos storm -- --nocapture
	$(CARGO_TEST) --test it race -- --ignored --nocapture

# Exit code 77 means skipped: a tool is missing and cannot be installed (see the SKIPPED line).
parity: tools $(VENV)/ok ## compare with Pillow on PHOTOS: every filter, fit and size
	cargo build --locked --workspace
	BINARY=$(abspath target/$(TRIPLE)/debug/pixpipe) acceptance/parity/run $(PHOTOS) || [ $$? = 77 ]

# Not part of `make test`: parity compares with the same calls of Pillow.
presets: tools ## compare each PRESET with torchvision's, timm's, open_clip's, transformers' and clean-fid's own code
	cargo build --locked --workspace
	BINARY=$(abspath target/$(TRIPLE)/debug/pixpipe) acceptance/presets/run $(PHOTOS) || [ $$? = 77 ]

ministack: tools ## the program against ministack: S3 with checksums, conditions and IAM enforced
	acceptance/ministack/run || [ $$? = 77 ]

pipe: ## the Terraform module: mocked plans, service models, policies, seeded mistakes (needs terraform and node)
	acceptance/pipe/run || [ $$? = 77 ]

delivery: ## a release into a registry on this machine, and the module of its repository and roles (needs terraform)
	acceptance/delivery/run || [ $$? = 77 ]

image: ## the container image with docker, podman or buildah, and its compressed size
	image/build.sh

image-test: ## what is in the image, and that it runs without rights, files or a writable path
	acceptance/image/run || [ $$? = 77 ]

sbom: ## target/sbom.cdx.json: what the program is made of, C libraries included
	$(PYTHON) image/sbom.py

e2e: tools ## the whole flow on this machine: terraform apply, uploads, tasks in podman, a bad day (needs terraform)
	acceptance/e2e/run || [ $$? = 77 ]

# The program last: cargo bench must not leave another one in its place.
bench: tools ## criterion per stage, the start, small objects, then the peers over PHOTOS: benches/README.md
	PIXPIPE_BENCH_PHOTOS=$(abspath $(PHOTOS)) cargo bench --locked --package pixpipe-pixels --profile dist --bench stages
	$(MAKE) build
	$(PYTHON) benches/start.py --binary $(BIN)
	$(PYTHON) benches/throughput.py --binary $(BIN)
	$(PYTHON) benches/peers/run.py --binary $(BIN) $(PHOTOS)

bench-gate: ## the instructions of a render by valgrind, within 5 % of benches/gate.tsv
	gate=$$(cargo bench --locked --package pixpipe-pixels --no-default-features --bench gate --no-run 2>&1 \
		| tee /dev/stderr | sed -n 's/.*Executable.*(\(.*\))/\1/p') && $(PYTHON) benches/gate.py "$$gate"

fuzz: ## a minute of each fuzz target (needs cargo-fuzz)
	for target in event decode; do RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=60 || exit 1; done
	mkdir -p fuzz/corpus/jpeg
	RUSTC_BOOTSTRAP=1 cargo fuzz run jpeg fuzz/corpus/jpeg testdata/images/jpeg -- -max_total_time=60

clean:
	cargo clean
