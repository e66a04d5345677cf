"""Which images an export holds, in the words of every place that offers the choice."""

from typing import Literal

Selection = Literal["reviewed", "gold", "all"]

SELECTIONS: dict[Selection, str] = {
    "reviewed": "images imported with a label, and those whose review is done or good enough; no gold images",
    "gold": "the gold images alone: they measure the models, so never train on them",
    "all": "every image, gold ones included; what nobody reviewed is as the model proposed it",
}
"""What each selection holds. The manifest names the role of every image, so that gold can be told apart."""
