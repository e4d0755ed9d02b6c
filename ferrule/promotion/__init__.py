"""The gate before the champion alias: two versions on the same images, the checks, the decision."""
