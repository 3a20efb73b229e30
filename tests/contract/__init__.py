"""One set of tests for all adapters, so that they cannot drift apart."""
