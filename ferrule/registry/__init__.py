"""Versions of the model in MLflow's registry: how one is packed, who holds which alias, and the ledger of why."""
