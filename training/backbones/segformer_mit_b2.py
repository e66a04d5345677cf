"""SegFormer on MiT-B2: the middle size of the family, with the decoder width that the paper uses from B2 on.

Weights: NVIDIA's MiT-B2, under NVIDIA's SegFormer license, which allows research and evaluation only: train your own
before commercial use. Decoder: arXiv:2105.15203.
"""

import segmentation_models_pytorch as smp
from torch import nn

STRIDE = 32
DECODER_CHANNELS = 768  # SegFormer, released code; 256 in B0 and B1


def build(num_classes: int, pretrained: bool) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE."""
    network: nn.Module = smp.Segformer(
        "mit_b2",
        encoder_weights="imagenet" if pretrained else None,
        decoder_segmentation_channels=DECODER_CHANNELS,
        classes=num_classes,
    )
    return network
