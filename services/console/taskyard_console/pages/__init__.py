"""The pages; `routes.py` says where each is."""
