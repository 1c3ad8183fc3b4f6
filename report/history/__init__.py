"""Runs over time: the nights of each pair on comparable hosts, where its level changed, and how that looks."""
