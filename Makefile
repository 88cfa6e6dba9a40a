PYTHON ?= python3
IN = .venv/bin/

.PHONY: app test test-slow check style smoke bench robustness notebooks lock audit sbom wheel clean

app: ## set up and start the app
	$(PYTHON) -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python app.py

test: ## set up and run the tests
	$(PYTHON) -m venv .venv && .venv/bin/pip install -r requirements.txt -e ".[dev]" && .venv/bin/python -m pytest

test-slow: ## run the slow tests too: training, notebooks, long videos and browser sessions
	$(IN)python -m pytest -m slow

check: ## lint, format and types, without changing anything
	$(IN)ruff check .
	$(IN)ruff format --check .
	$(IN)mypy

style: ## fix what lint and format can
	$(IN)ruff check --fix .
	$(IN)ruff format .

smoke: ## train a tiny model on synthetic faces
	$(IN)python -m training.train configs/emotion-efficientnet --smoke

bench: ## measure speed, the webcam tab, peers (PICTURES=folder) and accuracy (DATA=folder), and write the results into benchmarks/README.md
	$(IN)python -m benchmarks.speed --write
	$(IN)python -m benchmarks.webcam --write
	$(IN)python -m benchmarks.page --write
	$(IN)python -m benchmarks.api --write
	$(IN)python -m benchmarks.peers --install --write $(PICTURES) $(if $(DATA),--data $(DATA))
	$(if $(DATA),$(IN)python -m benchmarks.accuracy --write --data $(DATA))
	$(if $(DATA),$(IN)python -m benchmarks.detection --write --data $(DATA) --photos $(PICTURES))
	$(if $(DATA),$(IN)python -m benchmarks.quality --write --data $(DATA))
	$(IN)python -m benchmarks.tables

robustness: ## damage files by the thousand, and write what came of it into benchmarks/README.md
	$(IN)python -m benchmarks.robustness --write
	$(IN)python -m benchmarks.tables

notebooks: ## run the notebooks and write their copies with outputs
	$(IN)python -m training.notebooks.render

lock: ## pin every requirement with its hashes: requirements.lock
	$(IN)uv pip compile -q requirements.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --upgrade -o requirements.lock

audit: ## list known vulnerabilities of what is pinned; asks the internet, and fails where it could not ask
	$(IN)pip-audit --strict --require-hashes --disable-pip -r requirements.lock

sbom: ## write a bill of materials of what is pinned: dist/sbom.json (CycloneDX)
	mkdir -p dist
	$(IN)cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o dist/sbom.json

wheel: ## build a wheel whose bytes depend on the commit and on setuptools alone
	rm -rf build # modules of another commit would be packed, too
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(IN)pip wheel -q . --no-deps -w dist

clean:
	rm -rf build dist *.egg-info runs/*-smoke tests/artefacts
