"""The verbs: each one transaction, all on lists, all guarded.

A verb takes a connection (see `store.ledger`), states its precondition in SQL and returns what it won.
Batches travel as one JSON document that PostgreSQL unfolds (`json_to_recordset`): one statement and one
round trip however many tasks there are. Where a verb locks several rows it does so in the order of their
ids.
"""
