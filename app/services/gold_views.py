"""What was kept about one gold image: its picture, its label, and what models predicted for it."""

import numpy as np
from numpy.typing import NDArray

from app.domain.states import ImageRole
from app.services.gold_files import read_gold_prediction
from app.services.predicting import find_model
from app.storage.database import Store
from app.storage.models import Image
from app.storage.settings import require_class_set
from datasets.images import read_image, read_plane
from datasets.labels import ClassSet, LabelArray


class GoldImageView:
    """One gold image. Planes are read when they are asked for."""

    def __init__(self, store: Store, image_id: int) -> None:
        """Raises: LookupError: no such gold image."""
        self._store = store
        with store.reader() as session:
            image = session.get(Image, image_id)
            if image is None or image.deleted_at is not None or image.role is not ImageRole.GOLD:
                raise LookupError(f"there is no gold image {image_id}")
            self._image = image
            self.class_set: ClassSet = require_class_set(session)

    @property
    def version(self) -> str:
        """Changes when picture or label do."""
        return f"{self._image.sha256} {self._image.label_sha256}"

    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB, upright. Raises: ValueError, FileNotFoundError: see `read_image`."""
        return read_image(self._store.workspace.absolute(self._image.path))

    def label(self) -> LabelArray:
        """(H, W) class ids and IGNORE_INDEX. Raises: ValueError, FileNotFoundError: see `read_plane`."""
        return read_plane(self._store.workspace.absolute(self._image.label_path or ""))

    def measurement(self, model_id: int) -> str:
        """The folder in which a model's predictions on gold lie.

        Raises:
            LookupError: no such model, or its predictions were not kept.
        """
        folder: str | None = (find_model(self._store, model_id).gold or {}).get("folder")
        if folder is None:
            raise LookupError(f"the predictions of model {model_id} on gold images were not kept; measure it again")
        return folder

    def prediction(self, model_id: int) -> LabelArray:
        """(H, W) class ids that a model predicted when it was measured.

        Raises:
            LookupError: no such model, or it was not measured on this image.
            ValueError: the file is damaged.
        """
        folder = self._store.workspace.absolute(self.measurement(model_id))
        try:
            return read_gold_prediction(folder, self._image.sha256)
        except FileNotFoundError as error:
            raise LookupError(
                f"model {model_id} was not measured on the gold image {self._image.name}; measure it again"
            ) from error
