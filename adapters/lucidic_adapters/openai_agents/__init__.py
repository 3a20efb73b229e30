"""The adapter for openai_agents."""
