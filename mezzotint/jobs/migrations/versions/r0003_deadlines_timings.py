"""When a job is given up, and how long each stage of a picture took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add both columns, empty for what is there."""
    op.add_column("jobs", sa.Column("deadline_us", sa.BigInteger))
    op.add_column("images", sa.Column("timings", sa.Text))
