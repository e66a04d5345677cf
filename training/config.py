"""Every knob of a training run, as frozen dataclasses that refuse a wrong value when they are made.

Reading, writing and `--set key=value` are in training/config_json.py; presets.py holds the ready-made ones.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from datasets.labels import ClassSet
from datasets.lookup import dataset_names
from reliability.lookup import method_names
from training.config_section import Section, check_order, knob
from training.lookup import backbone_names, host_names

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB in [0, 1]; the statistics timm and torchvision weights were trained with
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """Which samples are trained on.

    Attributes:
        format: name of a file in datasets/formats.
        root: folder or file that the format reads.
        split: the training split's name.
        labeled_split: folder under `root`/splits that says which images count as labeled; empty: all that have labels.
        labeled_as_unlabeled: fully labeled images enter the unlabeled stream too (with their labels, which win there).
        cache_mb: decoded images kept in memory, MiB; the rest is decoded again whenever it is drawn.
        cache_device_mb: memory of the training device that the decoded data set may take, MiB; see run.renderer.
    """

    section: ClassVar[str] = "data"
    format: str = knob("folder", names=dataset_names)
    root: str = ""
    split: str = "train"
    labeled_split: str = ""
    labeled_as_unlabeled: bool = False
    cache_mb: int = knob(2048, minimum=0)
    cache_device_mb: int = knob(4096, minimum=0)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """The student.

    Attributes:
        backbone: name of a file in training/backbones.
        options: keyword arguments of that file's `build`, for example output_stride.
        pretrained: "none", "imagenet" (downloaded by the library that hosts the weights), or a local weight file.
        batch_norm: "train" normalizes over the batch: of all processes on GPUs, of each process's own images on CPUs
            (torch synchronizes on GPUs only). "frozen" normalizes by the statistics that came with the weights, which
            then never move: for fine-tuning, and for batches too small to measure statistics in.
    """

    section: ClassVar[str] = "model"
    backbone: str = knob("fpn_resnet10t", names=backbone_names)
    options: dict[str, Any] = knob({})
    pretrained: str = "none"
    batch_norm: Literal["train", "frozen"] = "train"


@dataclass(frozen=True, kw_only=True)
class ViewConfig(Section):
    """How crops are made. Defaults: UniMatch's released Pascal recipe (commit 0324f3d), masked view from CSL's.

    Attributes:
        crop_hw: height and width of a training crop, pixels.
        scale_range: factor on the image before cropping, drawn uniformly.
        flip_probability: horizontal flip.
        jitter_probability, jitter: chance and strength of brightness, contrast, saturation, hue in the strong view.
        gray_probability: chance of a gray strong view.
        blur_probability, blur_sigma: Gaussian blur of strong and masked views, sigma in pixels.
        cutmix_probability, cutmix_area, cutmix_aspect: chance, share of the crop and height/width of the pasted box.
        mild_jitter: jitter of the masked view.
        block_px, block_cover: side of a masked block in pixels and the chance that a block is masked.
    """

    section: ClassVar[str] = "views"
    crop_hw: tuple[int, int] = knob((321, 321), minimum=32)
    scale_range: tuple[float, float] = knob((0.5, 2.0), minimum=0.05, maximum=20)
    flip_probability: float = knob(0.5, minimum=0, maximum=1)
    jitter_probability: float = knob(0.8, minimum=0, maximum=1)
    jitter: tuple[float, float, float, float] = knob((0.5, 0.5, 0.5, 0.25), minimum=0, maximum=1)
    gray_probability: float = knob(0.2, minimum=0, maximum=1)
    blur_probability: float = knob(0.5, minimum=0, maximum=1)
    blur_sigma: tuple[float, float] = knob((0.1, 2.0), minimum=0.01, maximum=50)
    cutmix_probability: float = knob(0.5, minimum=0, maximum=1)
    cutmix_area: tuple[float, float] = knob((0.02, 0.4), minimum=0, maximum=1)
    cutmix_aspect: tuple[float, float] = knob((0.3, 1 / 0.3), minimum=0.01, maximum=100)
    mild_jitter: tuple[float, float, float, float] = knob((0.2, 0.2, 0.2, 0.2), minimum=0, maximum=1)
    block_px: int = knob(32, minimum=1)
    block_cover: float = knob(0.7, minimum=0, maximum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("scale_range", "blur_sigma", "cutmix_area", "cutmix_aspect"):
            check_order(f"views.{name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class HostConfig(Section):
    """The semi-supervised step.

    Attributes:
        name: name of a file in training/hosts.
        options: keyword arguments of that file's `build`.
        supervised_share: this share of all steps comes first and uses labels only (U2PL, S4MC: the first epoch):
            pseudo-labels of a student that knows nothing yet cost time and teach nothing.
    """

    section: ClassVar[str] = "host"
    name: str = knob("supervised", names=host_names)
    options: dict[str, Any] = knob({})
    supervised_share: float = knob(0.0, minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True)
class SelectionConfig(Section):
    """Which pseudo-labeled pixels are trusted.

    Attributes:
        name: name of a file in reliability/methods.
        options: keyword arguments of that file's `build`.
    """

    section: ClassVar[str] = "selection"
    name: str = knob("csl", names=method_names)
    options: dict[str, Any] = knob({})


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(Section):
    """The object detector whose boxes some selection methods need; it learns from the labeled masks of the same run.

    Attributes:
        architecture: of torchvision. Howlader et al. (arXiv:2407.12630) use fasterrcnn_resnet50_fpn; the default
            is ours, several times faster on a CPU.
        weights: "none", "coco" or, for the encoder alone, "imagenet" (both downloaded by torchvision), or a local
            weight file of the same architecture.
        classes: names of the classes that get boxes, separated by commas; empty: those whose labels look like things.
        min_box_px: smaller boxes (shorter side, pixels of the image) are not learned.
        min_size, max_size: images are resized to this shorter and at most this longer side; 0: the architecture's own.
        scale_range: factor on the image in training, drawn uniformly (ours).
        steps, batch: optimizer steps and images per step.
        lr: of Adam, constant (released: 5e-5).
        min_score: boxes with a lower score are not kept (released: 0.95). RetinaNet's scores are lower by nature.
    """

    section: ClassVar[str] = "detector"
    architecture: Literal[
        "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn_v2"
    ] = "fasterrcnn_mobilenet_v3_large_320_fpn"
    weights: str = "none"
    classes: str = ""
    min_box_px: int = knob(8, minimum=1)
    min_size: int = knob(0, minimum=0, maximum=8192)
    max_size: int = knob(0, minimum=0, maximum=16384)
    scale_range: tuple[float, float] = knob((0.75, 1.5), minimum=0.05, maximum=20)
    steps: int = knob(2000, minimum=1)
    batch: int = knob(4, minimum=1)
    lr: float = knob(5e-5, minimum=1e-9, maximum=100)
    min_score: float = knob(0.95, minimum=0, maximum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.max_size < self.min_size:
            raise ValueError(
                f"detector.max_size: must not be below detector.min_size {self.min_size}, got {self.max_size}"
            )
        check_order("detector.scale_range", self.scale_range)


@dataclass(frozen=True, kw_only=True)
class LossConfig(Section):
    """The supervised loss.

    Attributes:
        ohem: keep only hard pixels (online hard example mining).
        ohem_threshold: pixels whose true class has at most this probability are hard (UniMatch, Cityscapes: 0.7).
        ohem_min_kept: at least this many pixels of the batch stay (UniMatch, Cityscapes: 200 000).
    """

    section: ClassVar[str] = "loss"
    ohem: bool = False
    ohem_threshold: float = knob(0.7, minimum=0, maximum=1)
    ohem_min_kept: int = knob(200_000, minimum=1)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Section):
    """How weights move.

    Attributes:
        name: sgd (momentum) or adamw.
        lr: learning rate of the encoder before the schedule.
        head_lr_factor: factor on `lr` for everything behind the encoder (UniMatch, Pascal: 10).
        momentum: of SGD; AdamW uses its own two averages.
        weight_decay: on weights of two and more dimensions; biases and normalization parameters have none.
        clip_norm: gradients are scaled down to this norm over all parameters; 0 switches clipping off.
        poly_power: lr falls with (1 - step/steps) to this power (0.9: DeepLab, arXiv:1606.00915).
        warmup_steps: linear rise of lr before that.
    """

    section: ClassVar[str] = "optimizer"
    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = knob(0.001, minimum=1e-9, maximum=100)
    head_lr_factor: float = knob(1.0, minimum=1e-6, maximum=1e6)
    momentum: float = knob(0.9, minimum=0, maximum=0.9999)
    weight_decay: float = knob(1e-4, minimum=0, maximum=10)
    clip_norm: float = knob(10.0, minimum=0)
    poly_power: float = knob(0.9, minimum=0, maximum=10)
    warmup_steps: int = knob(0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Section):
    """How long and on what.

    Attributes:
        steps: optimizer steps.
        epochs: if above 0, passes over the unlabeled images (labeled ones for host supervised) instead of `steps`.
        labeled_batch, unlabeled_batch: images per step and process; 2 or more, batch normalization and mixing need it.
        seed: of the first weights, the order, the views and dropout.
        device: auto takes the first accelerator, else the CPU.
        precision: auto is bf16 where the device multiplies it in hardware, else no.
        channels_last: memory layout of images and weights; auto decides by device and precision.
        loader_threads: threads that prepare the next batches.
        renderer: what makes the views: opencv in the loader's threads, device in torch on the training device from the
            same random numbers (pictures differ by rounding, labels not at all). auto is device on a GPU if it can make
            all views of the host and the decoded data set fits into data.cache_device_mb, else opencv.
        compile: compile the student's passes with torch.compile. The first steps take minutes; it pays for long runs
            on a GPU, where it fuses what lies between convolutions, and not for short rounds.
        log_every, checkpoint_every: in steps.
    """

    section: ClassVar[str] = "run"
    steps: int = knob(1000, minimum=1)
    epochs: int = knob(0, minimum=0)
    labeled_batch: int = knob(8, minimum=2)
    unlabeled_batch: int = knob(8, minimum=2)
    seed: int = knob(0, minimum=0, maximum=2**31 - 1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    channels_last: Literal["auto", "yes", "no"] = "auto"
    loader_threads: int = knob(1, minimum=1, maximum=64)
    renderer: Literal["auto", "opencv", "device"] = "auto"
    compile: bool = False
    log_every: int = knob(10, minimum=1)
    checkpoint_every: int = knob(200, minimum=1)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Section):
    """Measuring on images that are not trained on. The last weights count; nothing is stopped or chosen by it.

    Attributes:
        split: a split of the data set, "none", or "auto": gold if the data set has labeled images there, else test,
            else none.
        every_steps: evaluate during training too; 0 only at the end.
        window: whole images, or windows of the crop's size (stride 2/3), probabilities summed.
        flip: predict mirrored images as well, for the score flip_confidence; takes twice as long.
        pseudo_images: so many unlabeled training images whose labels data.labeled_split hides also measure the
            pseudo-labels at every evaluation (precision, coverage, mIoU); their labels are never learned from.
    """

    section: ClassVar[str] = "evaluation"
    split: str = "auto"
    every_steps: int = knob(0, minimum=0)
    window: Literal["whole", "sliding"] = "whole"
    flip: bool = False
    pseudo_images: int = knob(0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """One training run. `config.json` of a run folder holds exactly this.

    Attributes:
        preset: where the values started from; information only.
        classes: the class set as JSON (`ClassSet.to_json`), filled in from the data when a run starts.
        mean, std: of RGB in [0, 1], subtracted and divided by.
    """

    preset: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    host: HostConfig = field(default_factory=HostConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    mean: tuple[float, float, float] = knob(IMAGENET_MEAN, minimum=0, maximum=1)
    std: tuple[float, float, float] = knob(IMAGENET_STD, minimum=1e-3, maximum=1)
    classes: dict[str, Any] = knob({})

    @property
    def class_set(self) -> ClassSet:
        """The classes the student predicts.

        Raises:
            ValueError: the run has not started, so its classes are not known.
        """
        return ClassSet.from_json(self.classes, "classes in config.json")
