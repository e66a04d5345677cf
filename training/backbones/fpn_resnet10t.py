"""FPN on timm's resnet10t: 6.8 M parameters, the fastest to train on a CPU.

Weights: timm `resnet10t.c3_in1k`, Apache-2.0. Decoder: Feature Pyramid Network, arXiv:1612.03144.
"""

import segmentation_models_pytorch as smp
from torch import nn

STRIDE = 32


def build(num_classes: int, pretrained: bool) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE."""
    weights = True if pretrained else None  # what smp calls timm's default weights
    network: nn.Module = smp.FPN("tu-resnet10t", encoder_weights=weights, classes=num_classes)
    return network
