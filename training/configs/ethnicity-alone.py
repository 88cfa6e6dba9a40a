"""Ethnicity alone, without a teacher: tried, and not published."""

from dataclasses import replace

from training.config import load_config

age = load_config("age-efficientnet")  # the same network from the same start, for another question
config = replace(age, model="ethnicity-alone", heads=("ethnicity",), epochs=3)
