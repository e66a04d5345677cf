"""DeepLabV3+ on ResNet-50 at output stride 16: the usual baseline of semi-supervised papers.

Weights: torchvision `ResNet50_Weights.IMAGENET1K_V1`, BSD-3-Clause. Decoder: arXiv:1802.02611.
"""

import segmentation_models_pytorch as smp
from torch import nn

STRIDE = 16


def build(num_classes: int, pretrained: bool) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE."""
    weights = "imagenet" if pretrained else None
    network: nn.Module = smp.DeepLabV3Plus(
        "resnet50", encoder_weights=weights, encoder_output_stride=STRIDE, classes=num_classes
    )
    return network
