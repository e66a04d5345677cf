"""One data set format per file; the file's name is what users type. See datasets/lookup.py."""
