"""One encoder-decoder pair per file; the file name is the name users type as model.backbone.

A file has `STRIDE`, the multiple that input sides are padded to, and `build(num_classes, pretrained, **options)`, whose
options are keywords with defaults: users give them as model.options. `build` returns a network with

- `encoder`: image -> list of maps, the image itself first, then from fine to coarse;
- `decoder`: that list -> one map;
- `segmentation_head`: that map -> logits at input size.

Files that begin with an underscore hold what several backbones share. tests/contract/test_every_backbone.py checks the
rest.
"""
