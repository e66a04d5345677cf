"""FPN on ResNet-50: the usual encoder, not dilated, with a light decoder; less computation than DeepLabV3+ on it.

Weights: torchvision `ResNet50_Weights.IMAGENET1K_V1`, BSD-3-Clause. Decoder: Feature Pyramid Network, arXiv:1612.03144.
"""

import segmentation_models_pytorch as smp
from torch import nn

STRIDE = 32


def build(num_classes: int, pretrained: bool) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE."""
    weights = "imagenet" if pretrained else None
    network: nn.Module = smp.FPN("resnet50", encoder_weights=weights, classes=num_classes)
    return network
