"""DPT on a DINOv2 transformer, the network of UniMatch V2; shared by two backbones.

Levels: the patch tokens after blocks 3, 6, 9 and 12, through the last layer norm, without the class token (UniMatch V2,
released code f6afb4d, model/semseg/dpt.py). Decoder: smp's blocks in the sizes of UniMatch V2. smp.DPT as it is hands
the class token to its decoder, leaves out the norm, and derives its upsampling from the patch size, which must be a
power of two: with patch 14 the levels do not fit onto each other. Here they are resized to each other's sizes, as in
the released code. With 21 classes the small network has 24.8 M parameters, the number in UniMatch V2's training logs.

Different from the released code:

- batch norm in the decoder and dropout 0.1 before the classifier, as in the segmentation network of DPT's paper
  (arXiv:2103.13413) and in smp;
- the last level passes the first residual unit of its fusion, which the released code leaves unused: with several
  processes every parameter must get a gradient;
- the 1x1 convolution of a fusion comes before the interpolation instead of after it: the same function, a quarter of
  the computation;
- position embeddings are resampled to the exact grid by timm, bicubic with antialiasing; DINOv2's code resamples
  without antialiasing and with an offset of 0.1 against rounding.
"""

from collections.abc import Sequence
from typing import Any

import timm
from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder, DPTSegmentationHead
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 14  # the patch size
BLOCKS = (2, 5, 8, 11)  # 0-based; UniMatch V2, released code, for the small and the base encoder
_DECODER_STRIDE = 16  # makes smp's decoder resize the levels by 4, 2, 1 and 1/2, as published
_FINEST_SCALE = 8  # pixels of the decoder's last map per patch side: 4 from the finest level, 2 from its fusion


class TokenEncoder(nn.Module):
    """Image to maps of one size: (N, 3, H, W) -> the image, then four times (N, D, H / 14, W / 14).

    The image comes first because every other encoder begins with it; the student perturbs the maps after it.

    Attributes:
        model: a timm vision transformer of 12 blocks that takes any multiple of the patch size.
    """

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.model: Any = transformer

    def forward(self, image: Tensor) -> list[Tensor]:
        """Height and width must be multiples of 14."""
        levels = self.model.forward_intermediates(image, indices=list(BLOCKS), norm=True, intermediates_only=True)
        return [image, *levels]


class LevelDecoder(nn.Module):
    """Four levels to one map of eight pixels per patch side: -> (N, F, 8 H / 14, 8 W / 14)."""

    def __init__(self, width: int, level_channels: Sequence[int], fusion_channels: int) -> None:
        super().__init__()
        self.blocks: Any = DPTDecoder(
            encoder_out_channels=[width] * len(level_channels),
            encoder_output_strides=[_DECODER_STRIDE] * len(level_channels),
            encoder_has_prefix_tokens=False,
            readout="ignore",
            intermediate_channels=level_channels,
            fusion_channels=fusion_channels,
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """From the last, coarsest level to the first; the image in front is not used."""
        resize = zip(self.blocks.reassemble_blocks, features[1:], strict=True)
        levels = [block(feature) for block, feature in resize]  # 4, 2, 1 and 1/2 pixels per patch side, rounded up
        height, width = levels[0].shape[-2:]
        sizes_hw = [(2 * height, 2 * width), *(level.shape[-2:] for level in levels[:-1])]
        fused: Tensor | None = None
        for block, level, size_hw in zip(self.blocks.fusion_blocks, levels[::-1], sizes_hw[::-1], strict=True):
            joined = block.residual_conv_block1(level)
            if fused is not None:
                joined = joined + fused
            joined = block.project(block.residual_conv_block2(joined))
            fused = functional.interpolate(joined, size_hw, mode="bilinear", align_corners=True)
        assert fused is not None
        return fused


class DptNetwork(nn.Module):
    """Encoder, decoder and head with the attributes that the student reads.

    A frozen encoder gets no gradient and stays in eval mode when the network is put into train mode.
    """

    def __init__(self, encoder: TokenEncoder, decoder: LevelDecoder, head: nn.Module, freeze_encoder: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.segmentation_head = head
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "DptNetwork":
        """Train or eval mode for what learns."""
        super().train(mode)
        if self.freeze_encoder:
            self.encoder.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, C, H, W); height and width must be multiples of 14."""
        logits: Tensor = self.segmentation_head(self.decoder(self.encoder(image)))
        return logits


def build_dpt(
    encoder_name: str,
    num_classes: int,
    pretrained: bool,
    level_channels: Sequence[int],
    fusion_channels: int,
    freeze_encoder: bool,
) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE.

    Args:
        encoder_name: of a timm vision transformer with 14 x 14 patches and 12 blocks.
        num_classes: C.
        pretrained: download timm's weights of that name.
        level_channels: of the four levels after projection, finest first.
        fusion_channels: F, of the decoder's last map.
        freeze_encoder: train decoder and head only.

    Raises:
        ValueError: `freeze_encoder` is no bool.
    """
    if not isinstance(freeze_encoder, bool):
        raise ValueError(f"model.options.freeze_encoder: choose true or false, got {freeze_encoder!r}")
    encoder = TokenEncoder(timm.create_model(encoder_name, pretrained=pretrained, num_classes=0, dynamic_img_size=True))
    decoder = LevelDecoder(encoder.model.embed_dim, level_channels, fusion_channels)
    head = DPTSegmentationHead(fusion_channels, num_classes, upsampling=STRIDE / _FINEST_SCALE)
    return DptNetwork(encoder, decoder, head, freeze_encoder)
