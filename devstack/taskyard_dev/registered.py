"""Whether the workers that were started have registered their task types in the ledger."""

from uuid import UUID

_WITH_TYPES = "SELECT DISTINCT worker_id FROM worker_type"


class NewWorkers:
    """Counts those that have registered since this was made: rows of earlier runs stay for days."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._before = self._with_types()

    def are_there(self, workers: int) -> bool:
        """Whether so many workers have registered. An outage of PostgreSQL counts as "not yet"."""
        from taskyard.domain.errors import LedgerUnavailable

        try:
            return len(self._with_types() - self._before) >= workers
        except LedgerUnavailable:
            return False

    def _with_types(self) -> set[UUID]:
        # Late: SQLAlchemy takes a while to import, and `--help` should not wait for it.
        from taskyard.store import ledger

        engine = ledger.make_engine(self._database_url, pool_size=1, application_name="taskyard up")
        try:
            return ledger.run(engine, lambda conn: set(conn.exec_driver_sql(_WITH_TYPES).scalars()))
        finally:
            engine.dispose()
