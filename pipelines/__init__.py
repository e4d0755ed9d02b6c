"""One module a DVC stage: each reads files, calls ferrule, and writes files."""
