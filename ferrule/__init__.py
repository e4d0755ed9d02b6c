"""Ferrule: facial expression recognition one can trust.

The library knows arrays, tables and models; it knows no Prefect, no DVC and no path of the checkout it is used in.
"""

__version__ = "0.1.0"
