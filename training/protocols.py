"""The published training protocols as presets: one per data set, host and crop, each with its source.

They need the data set as downloaded (--data-root), a labeled split (--labeled-split: the published list, or one from
`python -m training split`), ImageNet or DINOv2 weights (downloaded, or model.pretrained=FILE), and GPUs. Batch sizes
are the papers' totals, for one process. Start with `--dry-run`. None of them has been run to its end yet.

What differs from the released code everywhere:

- biases and normalization layers have no weight decay;
- a crop's scale is drawn per axis-preserving factor on the whole image;
- a pass over the images is rounded up to whole batches, where released loaders drop the last, smaller one;
- the last weights are evaluated, not the best epoch's on the validation set: expect less than the published numbers;
- a class that is neither in the labels nor predicted is left out of the mean IoU; released code counts it as 0;
- sliding windows have a stride of 2/3 of their size, rounded down, the last one is shifted inside, and probabilities
  are averaged. UniMatch and AugSeg let the last one shrink; U2PL rounds up and averages logits;
- images are padded to the network's stride; UniMatch V2 resizes them to the nearest multiple of 14 and logits back;
- no head on the encoder's third stage, whose loss U2PL on Cityscapes and AEL add with factor 0.4.
"""

from collections.abc import Callable
from dataclasses import replace

from training.config import (
    DataConfig,
    DetectorConfig,
    EvaluationConfig,
    HostConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    SelectionConfig,
    TrainConfig,
    ViewConfig,
)

_OHEM_200K = LossConfig(ohem=True, ohem_threshold=0.7, ohem_min_kept=200_000)  # UniMatch and CSL on Cityscapes
_OHEM_100K = LossConfig(ohem=True, ohem_threshold=0.7, ohem_min_kept=100_000)  # U2PL and AugSeg on Cityscapes, AEL
_U2PL_SELECTION = SelectionConfig(name="entropy_percentile", options={"drop_share": 0.2, "percentile_over": "batch"})
_AEL_NEVER_PASTED = [0, 1, 2, 8, 10]  # released code, Cityscapes' ids for both data sets

_HOWLADER_DETECTOR = DetectorConfig(
    architecture="fasterrcnn_resnet50_fpn",
    weights="imagenet",
    classes="person,rider,car,bicycle,motorcycle,train,truck,bus,traffic light,traffic sign,wall,fence",
    min_size=512,
    max_size=1024,
    steps=20_000,
    lr=5e-5,
    min_score=0.95,
)
"""Howlader et al., released code b049223: half-size images, Adam 5e-5, boxes from a score of 0.95 on, these classes. It
allows 3000 passes with batch 1 and keeps the one of least training loss; steps, batch and scales are ours."""


VOC_CLASS_PRIOR = (
    0.998089, 0.986050, 0.955592, 0.988817, 0.986189, 0.989454, 0.992848, 0.989994, 0.993955, 0.972373, 0.981473,
    0.992168, 0.992108, 0.990426, 0.987702, 0.989070, 0.977190, 0.986577, 0.987818, 0.994842, 0.993315,
)  # fmt: skip
"""Chance that a 4-neighbor has a pixel's own class, counted on Pascal VOC's masks. S4MC, released code (63905af)."""


def voc_unimatch_321() -> TrainConfig:
    """Pascal VOC, classic lists (92 to 1464 labels), crop 321, 80 epochs. UniMatch, released configs/pascal.yaml."""
    return TrainConfig(
        data=DataConfig(format="voc", split="trainaug", labeled_split="366", cache_mb=16_000),
        model=_resnet101(output_stride=16),
        views=ViewConfig(crop_hw=(321, 321)),
        host=HostConfig(name="unimatch"),
        selection=SelectionConfig(name="fixed_threshold", options={"threshold": 0.95}),
        optimizer=_sgd(lr=0.001, head_lr_factor=10.0),
        run=_run(epochs=80),
        evaluation=EvaluationConfig(split="val"),
    )


def voc_unimatch_513() -> TrainConfig:
    """Pascal VOC, blended lists (1/16 to 1/2 of 10,582), crop 513. UniMatch, paper table 2."""
    return replace(_with_split(voc_unimatch_321(), "1_16"), views=ViewConfig(crop_hw=(513, 513)))


def voc_csl_321() -> TrainConfig:
    """Pascal VOC, classic lists, crop 321, output stride 8, three branches. CSL, released configuration."""
    return replace(
        voc_unimatch_321(),
        model=_resnet101(output_stride=8),
        host=HostConfig(name="csl"),
        selection=SelectionConfig(name="csl", options={"alpha": 8.0}),
    )


def voc_s4mc_513() -> TrainConfig:
    """Pascal VOC, crop 513, EMA teacher 0.99, first epoch supervised. S4MC, released experiments/pascal/config.yml.

    S4MC is built on U2PL's code and differs from it in which pixels count: the host is U2PL's, without its contrastive
    term. Deviations: the shipped configuration leaves that term on, with weight 1; batch of U2PL, where it says 1; the
    loss of unlabeled pixels is not multiplied by the ratio of the lengths of both loaders.
    """
    return replace(
        voc_u2pl_513(),
        host=HostConfig(name="u2pl", options={"contrast_weight": 0.0}, supervised_share=1 / 80),
        selection=SelectionConfig(
            name="s4mc",
            options={
                "drop_share": 0.4,
                "percentile_over": "batch",
                "class_prior": list(VOC_CLASS_PRIOR),
                "ignored_neighbors": True,
            },
        ),
    )


def voc_augseg_513() -> TrainConfig:
    """Pascal VOC, crop 513, EMA teacher 0.999, 16 crops of each kind. AugSeg, released configuration."""
    return replace(
        voc_unimatch_513(),
        model=_resnet101(output_stride=16, multi_grid=True),
        host=HostConfig(name="augseg"),
        run=_run(epochs=80, batch=16),
    )


def voc_u2pl_513() -> TrainConfig:
    """Pascal VOC, crop 513, EMA teacher 0.99, first epoch supervised. U2PL, released configuration, without OHEM."""
    return replace(
        voc_unimatch_513(),
        model=_resnet101(output_stride=8, multi_grid=True),
        host=HostConfig(name="u2pl", supervised_share=1 / 80),
        selection=_U2PL_SELECTION,
        run=_run(epochs=80, batch=16),
    )


def voc_ael_513() -> TrainConfig:
    """Pascal VOC, crop 513, EMA teacher 0.99, OHEM, SGD 0.01; its threshold on Pascal VOC is 0.7. AEL.

    The released code divides its loss by the number of GPUs although gradients are averaged over them already, so its
    rate of 0.01 acts like 0.01 / GPUs there. Batch of UniMatch.
    """
    return replace(
        voc_unimatch_513(),
        model=_resnet101(output_stride=8, multi_grid=True),
        host=HostConfig(
            name="ael", options={"paste_classes": 1, "least_area": 0.03, "never_pasted": list(_AEL_NEVER_PASTED)}
        ),
        selection=SelectionConfig(name="class_balanced", options={"threshold": 0.7}),
        loss=_OHEM_100K,
        optimizer=_sgd(lr=0.01, head_lr_factor=10.0),
    )


def voc_unimatch_v2_518() -> TrainConfig:
    """Pascal VOC, crop 518, DINOv2 ViT-S with DPT, 60 epochs. UniMatch V2, released configs/pascal.yaml."""
    return replace(
        voc_unimatch_321(),
        model=ModelConfig(backbone="dpt_dinov2_small", pretrained="imagenet"),
        views=ViewConfig(crop_hw=(518, 518)),
        host=HostConfig(name="unimatch_v2", options={"ema_decay": 0.996}),
        optimizer=_adamw(),
        run=_run(epochs=60, batch=16),
    )


def cityscapes_unimatch_801() -> TrainConfig:
    """Cityscapes, crop 801, 240 epochs, OHEM, sliding windows. UniMatch, released configs/cityscapes.yaml.

    The released threshold is 0 there: every pseudo-label counts.
    """
    return TrainConfig(
        data=DataConfig(format="cityscapes", split="train", labeled_split="1_16", cache_mb=48_000),
        model=_resnet101(output_stride=16),
        views=ViewConfig(crop_hw=(801, 801)),
        host=HostConfig(name="unimatch"),
        selection=SelectionConfig(name="fixed_threshold", options={"threshold": 0.0}),
        loss=_OHEM_200K,
        optimizer=_sgd(lr=0.005, head_lr_factor=1.0),
        run=_run(epochs=240),
        evaluation=EvaluationConfig(split="val", window="sliding"),
    )


def cityscapes_csl_801() -> TrainConfig:
    """Cityscapes, crop 801, output stride 8. CSL, released configuration."""
    return replace(
        cityscapes_unimatch_801(),
        model=_resnet101(output_stride=8),
        host=HostConfig(name="csl"),
        selection=SelectionConfig(name="csl", options={"alpha": 8.0}),
    )


def cityscapes_howlader_801() -> TrainConfig:
    """Cityscapes, crop 801: UniMatch weighted by rank similarity, bank gated by a detector. Howlader et al.

    Half of UniMatch's batch: 1 x 4 in the released configuration. Evaluated on whole images: features of sliding
    windows do not fit together, and this method compares features.
    """
    base = cityscapes_unimatch_801()
    return replace(
        base,
        selection=SelectionConfig(name="rank_statistics", options={"threshold": 0.0, "trust": "detector"}),
        detector=_HOWLADER_DETECTOR,
        run=_run(epochs=240, batch=4),
        evaluation=replace(base.evaluation, window="whole"),
    )


def cityscapes_augseg_800() -> TrainConfig:
    """Cityscapes, crop 800, EMA teacher 0.996, OHEM (0.7, 100,000), SGD 0.01. AugSeg, released configuration.

    Its threshold is switched off there: every pseudo-label counts.
    """
    return replace(
        cityscapes_unimatch_801(),
        model=_resnet101(output_stride=16, multi_grid=True),
        views=ViewConfig(crop_hw=(800, 800)),
        host=HostConfig(name="augseg", options={"ema_decay": 0.996}),
        loss=_OHEM_100K,
        optimizer=replace(_sgd(lr=0.01, head_lr_factor=1.0), weight_decay=5e-4),
        run=_run(epochs=240, batch=16),
    )


def cityscapes_u2pl_769() -> TrainConfig:
    """Cityscapes, crop 769, output stride 8, OHEM (0.7, 100,000), SGD 0.01. U2PL, released configuration."""
    return replace(
        cityscapes_unimatch_801(),
        model=_resnet101(output_stride=8, multi_grid=True),
        views=ViewConfig(crop_hw=(769, 769)),
        host=HostConfig(name="u2pl"),
        selection=_U2PL_SELECTION,
        loss=_OHEM_100K,
        optimizer=replace(_sgd(lr=0.01, head_lr_factor=1.0), weight_decay=5e-4),
        run=_run(epochs=200, batch=16),
    )


def cityscapes_ael_769() -> TrainConfig:
    """Cityscapes, crop 769, EMA teacher 0.99, OHEM (0.7, 100,000), SGD 0.01, threshold 0. AEL, released configuration.

    As on Pascal VOC, the released rate acts like 0.01 / GPUs, and the batch is UniMatch's.
    """
    return replace(
        cityscapes_u2pl_769(),
        host=HostConfig(name="ael", options={"never_pasted": list(_AEL_NEVER_PASTED)}),
        selection=SelectionConfig(name="class_balanced", options={"threshold": 0.0}),
        optimizer=_sgd(lr=0.01, head_lr_factor=1.0),
        run=_run(epochs=200),
    )


def cityscapes_unimatch_v2_798() -> TrainConfig:
    """Cityscapes, crop 798, DINOv2 ViT-S with DPT, 180 epochs. UniMatch V2, released configs/cityscapes.yaml."""
    base = voc_unimatch_v2_518()
    return replace(
        cityscapes_unimatch_801(),
        model=base.model,
        views=ViewConfig(crop_hw=(798, 798)),
        host=base.host,
        selection=base.selection,
        optimizer=base.optimizer,
        run=_run(epochs=180),
    )


def coco_unimatch_513() -> TrainConfig:
    """COCO with 81 classes, 1/512 to 1/32 labeled, crop 513, 30 epochs. UniMatch, released configs/coco.yaml.

    Deviation: ResNet-101 instead of Xception-65, for which no maintained weights fit our decoder.
    """
    return TrainConfig(
        data=DataConfig(format="coco", split="train2017", labeled_split="1_512", cache_mb=16_000),
        model=_resnet101(output_stride=16),
        views=ViewConfig(crop_hw=(513, 513)),
        host=HostConfig(name="unimatch"),
        selection=SelectionConfig(name="fixed_threshold", options={"threshold": 0.95}),
        optimizer=_sgd(lr=0.004, head_lr_factor=10.0),
        run=_run(epochs=30),
        evaluation=EvaluationConfig(split="val2017"),
    )


def coco_unimatch_v2_518() -> TrainConfig:
    """COCO with 81 classes, crop 518, DINOv2 ViT-S with DPT, 20 epochs. UniMatch V2, released configs/coco.yaml."""
    base = coco_unimatch_513()
    return replace(voc_unimatch_v2_518(), data=base.data, evaluation=base.evaluation, run=_run(epochs=20, batch=16))


def _resnet101(output_stride: int, multi_grid: bool = False) -> ModelConfig:
    options = {"output_stride": output_stride, **({"multi_grid": True} if multi_grid else {})}
    return ModelConfig(backbone="deeplabv3plus_resnet101", options=options, pretrained="imagenet")


def _sgd(lr: float, head_lr_factor: float) -> OptimizerConfig:
    """SGD with momentum 0.9, decay 1e-4, poly 0.9 per step and no clipping, as all of the papers."""
    return OptimizerConfig(name="sgd", lr=lr, head_lr_factor=head_lr_factor, clip_norm=0.0)


def _adamw() -> OptimizerConfig:
    """AdamW 5e-6, decoder times 40, decay 0.01. UniMatch V2, released code."""
    return OptimizerConfig(name="adamw", lr=5e-6, head_lr_factor=40.0, weight_decay=0.01, clip_norm=0.0)


def _run(epochs: int, batch: int = 8) -> RunConfig:
    """As many labeled as unlabeled crops per step, the totals of the released scripts over all of their GPUs.

    8 is UniMatch's and CSL's 2 x 4; 16 is U2PL's 4 x 4 and 2 x 8, AugSeg's 8 x 2 and 4 x 4, and UniMatch V2's 4 x 4 on
    Pascal and COCO.
    """
    return RunConfig(
        epochs=epochs,
        labeled_batch=batch,
        unlabeled_batch=batch,
        loader_threads=8,
        log_every=50,
        checkpoint_every=1000,
    )


def _with_split(config: TrainConfig, labeled_split: str) -> TrainConfig:
    return replace(config, data=replace(config.data, labeled_split=labeled_split))


PROTOCOLS: dict[str, Callable[[], TrainConfig]] = {
    protocol.__name__: protocol
    for protocol in (
        voc_unimatch_321,
        voc_unimatch_513,
        voc_csl_321,
        voc_s4mc_513,
        voc_augseg_513,
        voc_u2pl_513,
        voc_ael_513,
        voc_unimatch_v2_518,
        cityscapes_unimatch_801,
        cityscapes_csl_801,
        cityscapes_howlader_801,
        cityscapes_augseg_800,
        cityscapes_u2pl_769,
        cityscapes_ael_769,
        cityscapes_unimatch_v2_798,
        coco_unimatch_513,
        coco_unimatch_v2_518,
    )
}
