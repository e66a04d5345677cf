"""Probes: audits, planted errors and control images, with what was drawn and to whom it was given."""

import sqlalchemy as sa
from alembic import op

from app.storage.migrations.words import allow_words

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was drawn before."""
    allow_words("region", "state", ("open", "decided", "skipped", "second_review", "superseded", "held"))
    op.create_table(
        "probe",
        sa.Column("region_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "queue", "audit", "planted", "control", "flagged",
                name="kind", native_enum=False, create_constraint=True, length=16,
            ),
            nullable=False,
        ),
        sa.Column("draw_order", sa.Double(), nullable=False),
        sa.Column("chance", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("pixels", sa.LargeBinary(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("person", sa.String(length=255), nullable=True),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column("is_filtered", sa.Boolean(), nullable=False),
        sa.Column("given_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name=op.f("fk_probe_region_id_region")),
        sa.PrimaryKeyConstraint("region_id", name=op.f("pk_probe")),
    )  # fmt: skip
    op.create_index("ix_probe_person", "probe", ["person", "place"], unique=True)
    op.create_index("ix_probe_order", "probe", ["kind", "draw_order"])
    op.create_table(
        "control_image",
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("pool_size", sa.Integer(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_control_image_image_id_image")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_control_image")),
    )
    # Counting how many regions somebody was given reads this index and no row.
    op.create_index("ix_decision_given", "decision", ["user", "kind", "closes_region", "region_id"])
