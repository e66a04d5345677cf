"""One semi-supervised step per file, written in the order of its paper; the file name is host.name."""
