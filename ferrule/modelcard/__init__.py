"""The model card (Mitchell et al. 2019): what a model is, what it is worth, and what it must not be used for."""
