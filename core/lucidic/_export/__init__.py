"""From a finished span to a sink."""
