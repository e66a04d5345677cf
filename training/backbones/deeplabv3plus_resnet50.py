"""DeepLabV3+ on ResNet-50: the smaller of the two usual baselines of semi-supervised papers.

Form and sources: _deeplabv3plus.py; paper: arXiv:1802.02611. Weights, trained on ImageNet-1k: with the deep stem timm
`resnet50s.gluon_in1k`, Apache-2.0; with the plain stem torchvision `ResNet50_Weights.IMAGENET1K_V1`, BSD-3-Clause.
The papers' own resnet50.pth (deep stem) fits model.pretrained; their repositories say where from and on which terms.
"""

from torch import nn

from training.backbones._deeplabv3plus import STRIDE, build_deeplabv3plus

__all__ = ["STRIDE", "build"]


def build(
    num_classes: int, pretrained: bool, output_stride: int = 16, stem: str = "deep", multi_grid: bool = False
) -> nn.Module:
    """Encoder, decoder and head; logits at input size when height and width are multiples of STRIDE.

    Args:
        num_classes: C.
        pretrained: download ImageNet weights.
        output_stride: 16 (UniMatch) or 8 (CSL, U2PL; four times the computation in the last stage).
        stem: "deep" (the papers') or "plain" (torchvision's).
        multi_grid: wider dilations in the last stage (U2PL, AEL, S4MC and AugSeg).

    Raises:
        ValueError: another output stride or stem, or `multi_grid` is no bool.
    """
    return build_deeplabv3plus("resnet50", num_classes, pretrained, output_stride, stem, multi_grid)
