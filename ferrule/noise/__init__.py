"""Wrong labels: found by networks that were not trained on them, measured against FER+ votes, softened by these."""
