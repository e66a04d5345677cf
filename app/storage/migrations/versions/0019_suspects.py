"""Parts of labels that may be wrong, what was said about them, and a job that looks for them."""

import sqlalchemy as sa
from alembic import op

from app.storage.migrations.words import allow_words

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_PLACE = ("image_id", "class_id", "x0", "y0", "x1", "y1", "area")


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def upgrade() -> None:
    """Nobody looked for wrong labels before, or nothing of it was kept."""
    op.create_table(
        "suspect_search",
        *_numbers("id", "model_id", "min_area", "num_images", "num_parts"),
        sa.Column("found_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_suspect_search_model_id_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suspect_search")),
    )
    op.create_table(
        "suspect_part",
        *_numbers("id", "search_id", "rank", *_PLACE, "suggested"),
        sa.Column("doubt", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("label_version", sa.String(length=255), nullable=False),
        sa.Column("region_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["search_id"], ["suspect_search.id"], name=op.f("fk_suspect_part_search_id_suspect_search")
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_suspect_part_image_id_image")),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name=op.f("fk_suspect_part_region_id_region")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suspect_part")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_suspect_part_rank", "suspect_part", ["rank"])
    op.create_table(
        "part_answer",
        *_numbers("id", *_PLACE),
        sa.Column(
            "answer",
            sa.Enum(
                "right", "sent", "changed", "open",
                name="answer", native_enum=False, create_constraint=True, length=16,
            ),
            nullable=False,
        ),
        sa.Column("region_id", sa.Integer(), nullable=True),
        sa.Column("label_before", sa.String(), nullable=True),
        sa.Column("label_after", sa.String(), nullable=True),
        sa.Column("answered_by", sa.String(length=255), nullable=False),
        sa.Column("answered_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_part_answer_image_id_image")),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name=op.f("fk_part_answer_region_id_region")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_part_answer")),
    )  # fmt: skip
    op.create_index("ix_part_answer_image", "part_answer", ["image_id", "id"])
    kinds = ("train", "export", "predict", "recut", "coco", "round", "measure", "backup", "explore", "suspects")
    allow_words("job", "kind", kinds)
