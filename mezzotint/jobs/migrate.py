"""Bring a database's tables to the newest form; all of it happens, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from mezzotint.types import ResourceError

NEWEST = "0004"

_FOLDER = Path(__file__).parent / "migrations"


def migrate(connection: Connection, target: str = NEWEST) -> None:
    """Upgrade within the caller's transaction. ResourceError for tables of a newer version."""
    found = revision(connection)
    if found == target:
        return
    # Imported so late because it takes longer than everything else that opening does.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    known = {each.revision for each in script.walk_revisions()}
    if found is not None and found not in known:
        raise ResourceError(
            f"the history was written by a newer version (its form is {found}, this one knows "
            f"{NEWEST}); upgrade mezzotint, or give another --data-dir"
        )

    def upgrade(current: Any, _: Any) -> Any:
        return script._upgrade_revs(target, current)

    with EnvironmentContext(config, script, fn=upgrade) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


def revision(connection: Connection) -> str | None:
    """The form a database's tables are in; None when it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
