"""Benchmarks: each a way of Ferrule beside another way to the same result, both measured in turn in one run.

`python -m bench` runs them; docs/performance.md explains what each row means and what limits it.
"""
