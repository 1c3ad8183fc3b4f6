"""Exports to the formats of other tools, one module each.

A format is a function from runs to the files it writes: a name and bytes each, the same bytes every
time. A new one is a module and a line of registry.FORMATS, or comes from an installed package
(docs/adding-an-exporter.md).
"""
