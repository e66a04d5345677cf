"""Decoys, and probes that stand in everybody's queue instead of being given to one person."""

from random import random

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ASKED_REGARDLESS = 0.2  # As app/domain/mixing.py has it for proposals that are made now.

_SUPERSEDE_PLANTED = """
    UPDATE region SET state = 'superseded'
    WHERE kind = 'planted' AND state IN ('open', 'skipped', 'second_review', 'held')
"""
_END_PROPOSALS_OF_LABELED = """
    UPDATE proposal SET active = :no, replaced_after = NULL
    WHERE image_id IN (SELECT id FROM image WHERE role = 'labeled')
"""
_AUDITS_ARE_ASKED = "UPDATE region SET is_asked_regardless = :yes WHERE kind = 'audit'"
_NOT_DONE_WITH_AUDITS = """
    UPDATE image SET state = 'enough' WHERE role = 'pool' AND state = 'done' AND id IN (
        SELECT image_id FROM region WHERE kind = 'audit' AND state IN ('open', 'skipped')
    )
"""
_WAITING = "SELECT id FROM region WHERE kind = 'queue' AND state IN ('open', 'skipped')"
_ASK_REGARDLESS = "UPDATE region SET is_asked_regardless = :yes WHERE id = :id"
_SCORES = """
    SELECT region.score FROM region JOIN image ON image.id = region.image_id
    WHERE region.kind NOT IN ('audit', 'control') AND region.state = 'open' AND image.state = 'open'
    AND image.deleted_at IS NULL ORDER BY region.score DESC, region.id
"""
_TO_PLACE = """
    SELECT region.id FROM region JOIN probe ON probe.region_id = region.id
    JOIN proposal ON proposal.id = region.proposal_id
    WHERE proposal.active = :yes AND (
        (probe.kind = 'control' AND region.state IN ('held', 'open'))
        OR (probe.kind = 'audit' AND region.state = 'open' AND probe.is_active = :yes)
    ) ORDER BY probe.draw_order, region.id
"""
_PLACE = "UPDATE region SET score = :score, state = 'open' WHERE id = :id"
_ACTIVATE = "UPDATE probe SET is_active = :yes WHERE region_id = :id"

_setting = sa.table("setting", sa.column("key", sa.String), sa.column("value", sa.JSON))


def upgrade() -> None:
    """Planted errors that wait stood in images that looked half done; the next prediction plants new ones."""
    op.create_table(
        "decoy_image",
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_decoy_image_image_id_image")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_decoy_image")),
    )
    op.add_column("region", sa.Column("is_asked_regardless", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.drop_index("ix_region_image", "region")
    op.create_index("ix_region_image", "region", ["image_id", "state", "score", "kind", "is_asked_regardless"])
    op.execute(_SUPERSEDE_PLANTED)
    op.get_bind().execute(sa.text(_END_PROPOSALS_OF_LABELED), {"no": False})
    _mix_in()
    op.drop_index("ix_probe_person", "probe")
    op.drop_index("ix_decision_given", "decision")
    for name in ("person", "place", "is_filtered", "given_at"):
        op.drop_column("probe", name)


def _mix_in() -> None:
    """Probes had places in lists of persons; now they stand evenly among the regions of everybody's."""
    bind = op.get_bind()
    bind.execute(sa.text(_AUDITS_ARE_ASKED), {"yes": True})
    op.execute(_NOT_DONE_WITH_AUDITS)
    waiting = bind.execute(sa.text(_WAITING)).scalars()
    regardless = [{"yes": True, "id": region_id} for region_id in waiting if random() < _ASKED_REGARDLESS]
    scores = list(bind.execute(sa.text(_SCORES)).scalars()) or [0.0]
    probes = list(bind.execute(sa.text(_TO_PLACE), {"yes": True}).scalars())
    placed = []
    for index, region_id in enumerate(probes):
        place = int((index + random()) * len(scores) / len(probes))
        above = scores[place - 1] if place else 1.01 * scores[place]
        placed.append({"id": region_id, "score": (above + scores[place]) / 2})
    active = [{"yes": True, "id": region_id} for region_id in probes]
    for statement, rows in ((_ASK_REGARDLESS, regardless), (_PLACE, placed), (_ACTIVATE, active)):
        if rows:
            bind.execute(sa.text(statement), rows)
    trust = bind.execute(sa.select(_setting.c.value).where(_setting.c.key == "trust")).scalar()
    if trust is not None:
        latest = bind.execute(sa.text("SELECT max(id) FROM proposal")).scalar() or 0
        trust = {**trust, "mixed_up_to": latest}
        bind.execute(_setting.update().where(_setting.c.key == "trust").values(value=trust))
