"""A test's PostgreSQL database that comes back as it was before: what a restore, or a fail-over, has lost is lost."""

from tests.support.database import Database, ask
from tests.support.servers import Servers


class Past:
    """The test's database as it was."""

    def __init__(self, stack: Servers, database: Database) -> None:
        self._admin, self._name, self._kept = stack.postgres_dsn, database.name, f"{database.name}_past"

    def keep(self) -> None:
        """As it is now."""
        self._alone(self._name)
        ask(self._admin, f"CREATE DATABASE {self._kept} TEMPLATE {self._name}")
        self._open(self._name)

    def come_back(self) -> None:
        """Whoever is connected finds it as it was."""
        self._alone(self._name)
        ask(self._admin, f"DROP DATABASE {self._name} WITH (FORCE)")
        ask(self._admin, f"CREATE DATABASE {self._name} TEMPLATE {self._kept}")

    def remove(self) -> None:
        ask(self._admin, f"DROP DATABASE IF EXISTS {self._kept}")

    def _alone(self, name: str) -> None:
        """Nobody is connected, and nobody can be."""
        ask(self._admin, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        ask(self._admin, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,))

    def _open(self, name: str) -> None:
        ask(self._admin, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
