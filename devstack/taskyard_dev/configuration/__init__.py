"""The page docs/configuration.md, made from the settings classes. `make docs` writes it."""
