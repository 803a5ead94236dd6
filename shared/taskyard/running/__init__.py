"""What a run of a task is: its context, its outcome, what it prints, the tasks that it submits, and a trial without
servers."""
