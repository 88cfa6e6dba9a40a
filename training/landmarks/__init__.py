"""Landmarks and head pose: a small network distilled from MediaPipe's face mesh (`mesh`)."""
