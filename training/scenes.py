"""Generated scenes for presets that need no data set of their own."""

import dataclasses
import logging
from pathlib import Path

from datasets.formats.scenes import SceneCounts, write_scenes
from training.config import TrainConfig

logger = logging.getLogger(__name__)


def with_scenes(config: TrainConfig, folder: Path) -> TrainConfig:
    """The configuration with generated scenes below `folder` if it wants scenes and names none; otherwise the same."""
    if config.data.format != "scenes" or config.data.root:
        return config
    root = ensure_scenes(folder / "scenes", config.run.seed)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(root)))


def ensure_scenes(root: Path, seed: int, counts: SceneCounts | None = None) -> Path:
    """The folder with generated scenes, made now unless a run before made it; it appears only when it is complete."""
    if not root.exists():
        logger.info("generating scenes in %s", root)
        try:
            write_scenes(root, counts, seed=seed)
        except OSError:
            if not root.exists():  # else another process of this run was first
                raise
    return root
