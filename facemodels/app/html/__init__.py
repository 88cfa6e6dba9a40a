"""Answers as HTML: plain functions without Gradio. Whatever a model, a spec or a visitor wrote is escaped."""
