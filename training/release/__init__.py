"""From a run folder to a release: `python -m training.release runs/NAME`."""
