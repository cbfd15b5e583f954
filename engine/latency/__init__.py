"""Latency tables: measured from a few cut models, they predict the latency of any other plan."""
