"""Accuracy on labelled faces: labels from folders or CSV files, metrics, and the report."""
