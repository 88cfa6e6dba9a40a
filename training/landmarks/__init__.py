"""Landmarks and head pose: a small network that learned from MediaPipe's face mesh (`mesh`)."""
