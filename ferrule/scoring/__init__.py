"""New images scored: what is kept of them, when the model would rather say nothing, labels that come later."""
