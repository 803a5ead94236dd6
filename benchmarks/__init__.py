"""`make bench`: Taskyard next to bare Dramatiq, on the same servers, in the same run.

Bare Dramatiq keeps no record: a task that is lost there is lost. It is the bar all the same, because it is
what Taskyard's transport could do if it promised nothing.
"""
