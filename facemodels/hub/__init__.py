"""Models and where their files come from: specs (`registry`), verified files (`store`), publishing, golden outputs."""
