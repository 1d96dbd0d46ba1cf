"""The steps that a picture got, where its job left them to the server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column, empty for what is there."""
    op.add_column("images", sa.Column("steps", sa.Integer))
