"""The attribution matrix: every way of giving a session, in every concurrency mode, for every framework."""
