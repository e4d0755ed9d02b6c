"""The commands that the library brings itself: using a model. What they need is imported when they run."""
