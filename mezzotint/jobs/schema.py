"""The tables, as the newest migration leaves them; times are microseconds since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),  # whose it is; LOCAL on a server without keys
    Column("state", Text, nullable=False),
    Column("request", Text, nullable=False),  # an Order in JSON, its seed drawn
    Column("fingerprint", Text, nullable=False),  # of what was asked, before the seed was drawn
    Column("idempotency_key", Text),
    Column("priority", Integer, nullable=False),  # higher goes first
    Column("created_us", BigInteger, nullable=False),
    Column("started_us", BigInteger),
    Column("finished_us", BigInteger),
    Column("error", Text),
    Column("attempts", Integer, nullable=False),
    Column("deadline_us", BigInteger),  # when it is given up
    UniqueConstraint("key_id", "idempotency_key"),
    Index(None, "state", "created_us"),
    Index(None, "created_us", "id"),
    Index(None, "key_id", "created_us", "id"),
)

images = Table(
    "images",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("index", Integer, nullable=False),  # among its job's pictures, from 0
    Column("key_id", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),  # px
    Column("height", Integer, nullable=False),  # px
    Column("format", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),  # of the file
    Column("file", Text, nullable=False),  # below the folder of outputs
    Column("prompt", Text, nullable=False),
    Column("search", Text, nullable=False),  # the prompt, folded for searching
    Column("starred", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("timings", Text),  # ms by stage, in JSON; null: made before they were kept
    Column("steps", Integer),  # that it got; null: its job says
    UniqueConstraint("job_id", "index"),
    Index(None, "created_us", "id"),
    Index(None, "key_id", "created_us", "id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("last_used_us", BigInteger),
)

presets = Table(
    "presets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("body", Text, nullable=False),  # Choices in JSON
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("key_id", "name"),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    Column("changed_us", BigInteger, nullable=False),
)
