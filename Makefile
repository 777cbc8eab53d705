# The commands of Gantry. All set up what this machine is missing.

.PHONY: demo test bench-git help

help:
	@echo 'make demo         set up, build, run the main job and show it (KEEP=1 leaves it running)'
	@echo 'make test         set up and pass all tests, end-to-end ones included'
	@echo 'make bench-git    set up and measure what serving Git costs, beside nginx and git http-backend'

demo:
	@KEEP=$(KEEP) scripts/demo.sh

test:
	@scripts/set-up.sh test
	@scripts/test.sh

bench-git:
	@scripts/set-up.sh bench
	@cargo build --release --locked --package gantry-server --package gantry-device --package bench-git
	@cargo run --release --locked --quiet --package bench-git
