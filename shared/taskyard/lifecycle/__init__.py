"""The verbs: each one transaction, all on lists, all guarded.

A verb takes a connection (see `store.ledger`), states its precondition in SQL and returns what it won. Batches travel
as one JSON document: one round trip however many tasks there are. Rows are locked in the order of their ids.
"""
