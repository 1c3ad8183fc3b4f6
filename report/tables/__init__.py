"""Rows, columns and footnotes of the views, and the formats that they are written in."""
