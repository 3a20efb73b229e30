"""Session tracing for LLM agents."""
