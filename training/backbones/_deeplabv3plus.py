"""DeepLabV3+ on a ResNet in the form that UniMatch, CSL and U2PL publish numbers for; shared by two backbones.

Encoder. The papers' ResNets have a deep stem: three 3x3 convolutions with 64, 64 and 128 channels (UniMatch, released
code 7292bac, model/backbone/resnet.py). smp's own `resnet50` and `resnet101` are torchvision's, with one 7x7
convolution, so their numbers cannot be compared with the published ones. timm's `resnet50s` and `resnet101s` have the
papers' stem, the same dilations (the first block of a dilated stage keeps the dilation before it) and the same tensor
names, so the papers' weight files load as they are. timm's `resnet101d` is another network: a stem of 32, 32 and 64
channels and average pooling in its shortcuts.

Multi-grid. U2PL, AEL, S4MC and AugSeg multiply the dilations of the last stage's blocks by 2, 2 and 4; UniMatch and CSL
do not.

Decoder. smp's, changed to UniMatch's (model/semseg/deeplabv3plus.py): plain convolutions instead of separable ones, two
3x3 convolutions after joining with the stride-4 map, no dropout, nothing between ASPP and upsampling. With 21 classes
that makes 40.5 M and 59.5 M parameters, the numbers in UniMatch's training logs. What remains different:

- U2PL's decoder has 256 instead of 48 channels of the stride-4 map, no projection after ASPP, and dropout 0.1;
- inputs are padded to a multiple of 16, where the papers' maps have rounded-up sizes (321 / 16 becomes 21).
"""

from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

STRIDE = 16  # at output stride 8 a multiple of 8 would do; one number for both keeps every option's inputs alike
ATROUS_RATES = {
    16: (6, 12, 18),  # UniMatch, released code 7292bac, configs/pascal.yaml
    8: (12, 24, 36),  # CSL, released configuration; U2PL, released code 1e14231, u2pl/models/decoder.py
}
_TIMM_NAMES = {"resnet50": "tu-resnet50s.gluon_in1k", "resnet101": "tu-resnet101s.gluon_in1k"}
_STEMS = ("deep", "plain")
MULTI_GRID = (2, 2, 4)  # U2PL, AEL, S4MC and AugSeg, released code: factors on the dilations of the last stage's blocks


def build_deeplabv3plus(
    resnet: str, num_classes: int, pretrained: bool, output_stride: int, stem: str, multi_grid: bool
) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE.

    Args:
        resnet: "resnet50" or "resnet101".
        num_classes: C.
        pretrained: download ImageNet weights.
        output_stride: pixels of the image per pixel of the last encoder map, 16 or 8; also decides the ASPP's rates.
        stem: "deep" (the papers') or "plain" (torchvision's).
        multi_grid: multiply the dilations of the last stage's three blocks by 2, 2 and 4.

    Raises:
        ValueError: another output stride or stem, or `multi_grid` is no bool.
    """
    if type(output_stride) is not int or output_stride not in ATROUS_RATES:
        raise ValueError(f"model.options.output_stride: choose 16 (UniMatch) or 8 (CSL, U2PL), got {output_stride!r}")
    if stem not in _STEMS:
        raise ValueError(f"model.options.stem: choose deep (the papers') or plain (torchvision's), got {stem!r}")
    if not isinstance(multi_grid, bool):
        raise ValueError(f"model.options.multi_grid: choose true or false, got {multi_grid!r}")
    network: nn.Module = smp.DeepLabV3Plus(
        _TIMM_NAMES[resnet] if stem == "deep" else resnet,
        encoder_weights=_weights(stem, pretrained),
        encoder_output_stride=output_stride,
        decoder_atrous_rates=ATROUS_RATES[output_stride],
        decoder_aspp_separable=False,
        decoder_aspp_dropout=0.0,
        classes=num_classes,
    )
    _publish_decoder(network.decoder)
    if multi_grid:
        _widen_last_stage(network.encoder)
    return network


def _weights(stem: str, pretrained: bool) -> bool | str | None:
    """What smp calls the weights: True for a timm encoder, whose name says which; a name for its own."""
    if not pretrained:
        return None
    return True if stem == "deep" else "imagenet"


def _widen_last_stage(encoder: Any) -> None:  # noqa: ANN401 - smp has no types
    """Multi-grid (DeepLabV3, arXiv:1706.05587): the last stage's blocks look further than each other."""
    stages = encoder.model if hasattr(encoder, "model") else encoder  # timm's inside smp's wrapper, or smp's own
    for block, factor in zip(stages.layer4, MULTI_GRID, strict=True):
        block.conv2.dilation = block.conv2.padding = tuple(factor * side for side in block.conv2.dilation)


def _publish_decoder(decoder: Any) -> None:  # noqa: ANN401 - smp has no types
    """Put the papers' convolutions in the place of smp's separable ones."""
    decoder.aspp = decoder.aspp[0]  # smp appends a separable convolution, batch norm and ReLU
    separable = decoder.block2[0]
    joined, channels = separable[0].in_channels, separable[1].out_channels  # 48 + 256 and 256
    decoder.block2 = nn.Sequential(*_convolution(joined, channels), *_convolution(channels, channels))


def _convolution(in_channels: int, out_channels: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return (
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
