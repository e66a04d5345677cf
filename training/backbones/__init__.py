"""One encoder-decoder pair per file; the file name is the name users type as model.backbone."""
