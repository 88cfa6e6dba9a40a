"""From a downloaded data set to one `manifest.csv`: a `prepare.py` per data set, and `python -m training.data list`."""
