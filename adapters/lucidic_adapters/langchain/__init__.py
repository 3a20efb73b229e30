"""The adapter for langchain."""
