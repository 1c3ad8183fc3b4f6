"""Tells people what `report check` found: a verdict becomes events, events messages, messages go
out on channels.

events: what is new tonight, given what was told before. message: an event in words and numbers.
render_*: a message in a channel's format. channels: one module each, and a line in
channels.registry. state: what was told and what is still to be told. delivery: one request, tried
again within bounds. pipeline: the steps in their order.
"""
