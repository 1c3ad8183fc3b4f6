"""The subcommands of `harness`, one module each: `register(commands)` adds its parser and sets
`run` to its handler.
"""
