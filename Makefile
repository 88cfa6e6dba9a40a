PYTHON ?= python3
IN = .venv/bin/

.PHONY: app test test-slow check style smoke bench notebooks clean

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

style: ## mend what lint and format can
	$(IN)ruff check --fix .
	$(IN)ruff format .

smoke: ## train a tiny model on synthetic faces
	$(IN)python -m training.train configs/emotion-efficientnet --smoke

bench: ## measure speed, the webcam tab, peers (PICTURES=folder) and accuracy (DATA=folder), and write the results into benchmarks/README.md
	$(IN)python -m benchmarks.speed --write
	$(IN)python -m benchmarks.webcam --write
	$(IN)python -m benchmarks.peers --write $(PICTURES)
	$(if $(DATA),$(IN)python -m benchmarks.accuracy --write --data $(DATA))
	$(IN)python -m benchmarks.tables

notebooks: ## run the notebooks and write their copies with outputs
	$(IN)python -m training.notebooks.render

clean:
	rm -rf build dist *.egg-info runs/*-smoke tests/artefacts
