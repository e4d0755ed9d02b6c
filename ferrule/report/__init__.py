"""The report on a run: whether to believe the model, and why, on one page that needs no other file."""
