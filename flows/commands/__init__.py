"""The workflow's commands, a module a subject. Each command imports what it needs when it runs, not before."""
