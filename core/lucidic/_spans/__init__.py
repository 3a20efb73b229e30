"""From a callback to a finished span."""
