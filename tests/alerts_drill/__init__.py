"""Faults, one at a time, in running stacks that a real Prometheus and Alertmanager watch: `make drill-alerts`.

Rules, thresholds, intervals and waits are those of deploy/monitoring. What the drill prints says for each fault which
alert fired after how long, and which others did.
"""
