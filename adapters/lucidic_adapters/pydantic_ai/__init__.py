"""The adapter for pydantic_ai."""
