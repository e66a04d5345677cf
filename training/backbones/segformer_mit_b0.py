"""SegFormer on MiT-B0: a small transformer. Learns slowly without pretrained weights.

Weights: NVIDIA's MiT-B0, under NVIDIA's SegFormer license, which allows research and evaluation only: train your own
before commercial use. Decoder: arXiv:2105.15203.
"""

import segmentation_models_pytorch as smp
from torch import nn

STRIDE = 32


def build(num_classes: int, pretrained: bool) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE."""
    weights = "imagenet" if pretrained else None
    network: nn.Module = smp.Segformer("mit_b0", encoder_weights=weights, classes=num_classes)
    return network
