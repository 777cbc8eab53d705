# The commands of Gantry. All set up what this machine is missing.

.PHONY: demo test bench-api bench-git bench-device bench-fleet crash-device crash-server help

help:
	@echo 'make demo          set up, build, run the main job and show it (KEEP=1 leaves it running)'
	@echo 'make test          set up and pass all tests, end-to-end ones included'
	@echo 'make bench-api     set up and measure what the device API costs, beside bare verifications and single commits'
	@echo 'make bench-git     set up and measure what serving Git costs, beside nginx and git http-backend'
	@echo 'make bench-device  set up and measure what the device client costs its machine'
	@echo 'make bench-fleet   set up and measure a fleet of CLIENTS=10000 on DATABASE=sqlite or postgres'
	@echo 'make crash-device  set up and kill the device client KILLS=200 times; nothing may be lost or done twice'
	@echo 'make crash-server  set up and kill the server KILLS=500 times (DATABASE=sqlite|postgres, SEED=...); nothing may be lost'

demo:
	@KEEP=$(KEEP) scripts/demo.sh

test:
	@scripts/set-up.sh test
	@scripts/test.sh

bench-api:
	@scripts/set-up.sh build
	@cargo build --release --locked --package gantry-server --package bench-api
	@cargo run --release --locked --quiet --package bench-api

bench-git:
	@scripts/set-up.sh bench
	@cargo build --release --locked --package gantry-server --package gantry-device --package bench-git
	@cargo run --release --locked --quiet --package bench-git

bench-device:
	@scripts/set-up.sh demo
	@scripts/build-hello-image.sh >/dev/null
	@cargo build --locked --profile device --package gantry-device
	@cargo build --locked --package gantry-server --package gantry --package bench-device
	@$${CARGO_TARGET_DIR:-target}/debug/bench-device $${CARGO_TARGET_DIR:-target}/device/gantry-device

bench-fleet:
	@scripts/set-up.sh postgres
	@cargo build --release --locked --package gantry-server
	@cargo build --release --locked --package bench-fleet
	@CLIENTS=$(CLIENTS) DATABASE=$(DATABASE) $${CARGO_TARGET_DIR:-target}/release/bench-fleet

crash-device:
	@scripts/set-up.sh crash
	@scripts/build-hello-image.sh >/dev/null
	@cargo build --locked --package gantry-server --package gantry --package gantry-device --package bench-crash-device
	@KILLS=$(or $(KILLS),200) $${CARGO_TARGET_DIR:-target}/debug/bench-crash-device

crash-server:
	@scripts/set-up.sh $(if $(filter postgres,$(DATABASE)),postgres,build)
	@cargo build --locked --package gantry-server --package bench-crash-server
	@KILLS=$(or $(KILLS),500) DATABASE=$(or $(DATABASE),sqlite) SEED=$(SEED) $${CARGO_TARGET_DIR:-target}/debug/bench-crash-server
