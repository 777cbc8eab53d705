# The two commands of Gantry. Both set up what this machine is missing.

.PHONY: demo test help

help:
	@echo 'make demo         set up, build, run the main job and show it (KEEP=1 leaves it running)'
	@echo 'make test         set up and pass all tests, end-to-end ones included'

demo:
	@KEEP=$(KEEP) scripts/demo.sh

test:
	@scripts/set-up.sh test
	@scripts/test.sh
