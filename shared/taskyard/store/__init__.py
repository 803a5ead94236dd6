"""The ledger: PostgreSQL through SQLAlchemy Core. Engine, tables, migrations, and the queries that read."""
