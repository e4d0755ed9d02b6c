"""The model as a server: a page for people, REST for programs. `app.py` puts it together, `server.py` runs it."""
