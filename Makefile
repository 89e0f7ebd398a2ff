# make demo, make test: each sets up everything it needs. See CONTRIBUTING.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?= data
RUN ?= runs/bench
EXTRAS ?= [dev]
IMAGE ?= streamtrans
export PYTHONUNBUFFERED := 1

.PHONY: setup system demo serve image test check fix bench bench-load bench-lag bench-step bench-soak bench-chaos bench-fuzz scores \
	train clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(EXTRAS)'
	touch $(READY)

# What the tests of the page, of the microphone and of voices need besides Python (Debian's names): without it they are skipped.
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo)
system:
	$(SUDO) apt-get update -qq
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
		chromium libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins flite festival festvox-kdlpc16k

demo: setup
	$(BIN)/streamtrans demo

serve: setup
	$(BIN)/streamtrans serve

# The image runs on a CPU and, with --gpus all, on CUDA: see docs/deployment.md.
image:
	docker build --tag $(IMAGE) .

test: setup
	$(BIN)/python -m pytest -q

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-step bench-soak bench-lag bench-load

bench-step: setup
	$(BIN)/python -m bench.step

# HOURS of speech through one session: memory and time stay flat.
HOURS ?= 0.1
bench-soak: setup
	$(BIN)/python -m bench.soak --hours $(HOURS)

bench-lag: setup
	$(BIN)/python -m bench.lag

bench-load: setup
	$(BIN)/streamtrans bench load --text tests/data/europarl.en-fr.tsv --text tests/data/tatoeba.en-fr.tsv

# 200 sessions through cuts and kill -9; 10,000 fuzzed conversations.
bench-chaos: setup
	$(BIN)/python -m bench.chaos --runs 200

bench-fuzz: setup
	FUZZ_EXAMPLES=10000 $(BIN)/python -m pytest -q tests/server/test_fuzz.py tests/server/test_codec.py

# The table of docs/scores.md; DATA holds the corpora as TSV.
scores: setup
	$(BIN)/python -m bench.scores --data $(DATA)

train: setup
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=67108864 \
	$(BIN)/streamtrans train en-fr-text --data $(DATA) --resume

clean:
	rm -rf $(VENV) build dist *.egg-info
