"""Where alerts go: a module per channel, a line per channel in registry."""
