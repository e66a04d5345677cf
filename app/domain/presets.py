"""Presets of `python -m training` by name: the app knows no more of them, and a test compares the lists."""

WORKSPACE_PRESETS = (
    "demo",
    "camvid_cpu",
    "camvid_gpu",
    "demo_retrain",
    "camvid_cpu_retrain",
    "camvid_gpu_retrain",
)
"""Those that can train on any workspace. Left out are `debug`, which learns next to nothing, and the published
protocols, which want their own data sets, splits and weights."""

OTHER_PRESETS = (
    "debug",
    "voc_unimatch_321",
    "voc_unimatch_513",
    "voc_csl_321",
    "voc_s4mc_513",
    "voc_augseg_513",
    "voc_u2pl_513",
    "voc_ael_513",
    "voc_unimatch_v2_518",
    "cityscapes_unimatch_801",
    "cityscapes_csl_801",
    "cityscapes_howlader_801",
    "cityscapes_augseg_800",
    "cityscapes_u2pl_769",
    "cityscapes_ael_769",
    "cityscapes_unimatch_v2_798",
    "coco_unimatch_513",
    "coco_unimatch_v2_518",
)


def require_preset(name: str) -> None:
    """Refuse a mistyped preset before anything is prepared for it.

    Raises:
        ValueError: unknown; lists those that train on any workspace.
    """
    if name not in (*WORKSPACE_PRESETS, *OTHER_PRESETS):
        raise ValueError(
            f"unknown preset {name!r}; choose one of {', '.join(WORKSPACE_PRESETS)} (docs/training.md describes them)"
        )
