"""Where files are: a local directory now, behind an interface that object storage fits."""
