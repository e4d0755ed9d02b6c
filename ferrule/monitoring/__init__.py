"""Drift: what a model's reference is, which scored images are compared with it, how, and what is told."""
