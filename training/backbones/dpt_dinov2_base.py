"""DPT on DINOv2 ViT-B/14: the network of UniMatch V2's main results.

Form and sources: _dpt.py; papers: DPT, arXiv:2103.13413; DINOv2, arXiv:2304.07193; UniMatch V2, arXiv:2410.10777.
Weights: DINOv2 ViT-B/14, trained by Meta without labels on LVD-142M, Apache-2.0; the hub has them as timm
`vit_base_patch14_dinov2.lvd142m`, the release file dinov2_vitb14_pretrain.pth fits as model.pretrained. From scratch a
transformer of this size needs far more images than a project has: use it with weights.
"""

from torch import nn

from training.backbones._dpt import STRIDE, build_dpt

__all__ = ["STRIDE", "build"]

LEVEL_CHANNELS = (96, 192, 384, 768)  # UniMatch V2, released code f6afb4d, model_configs
FUSION_CHANNELS = 128  # as above


def build(num_classes: int, pretrained: bool, freeze_encoder: bool = False) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE.

    Args:
        num_classes: C.
        pretrained: download DINOv2's weights.
        freeze_encoder: train decoder and head only (UniMatch V2 on ADE20K); faster and with much less memory.

    Raises:
        ValueError: `freeze_encoder` is no bool.
    """
    return build_dpt(
        "vit_base_patch14_dinov2.lvd142m", num_classes, pretrained, LEVEL_CHANNELS, FUSION_CHANNELS, freeze_encoder
    )
