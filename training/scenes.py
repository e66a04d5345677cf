"""Generated scenes for presets that need no data set of their own."""

import logging
from pathlib import Path

from datasets.formats.scenes import SceneCounts, write_scenes

logger = logging.getLogger(__name__)


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
