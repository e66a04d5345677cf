"""One selection method per file; the file's name is the name users type (reliability/lookup.py)."""
