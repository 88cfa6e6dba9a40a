"""Models and their files: specs (`registry`), verified files (`store`), publishing, golden outputs."""
