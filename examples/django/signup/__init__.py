"""Sign up, get a mail: the mail is a task, and the browser can follow it."""
