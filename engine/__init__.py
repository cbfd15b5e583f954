"""Secateur's engine: open, analyse, score, plan, cut, verify, recover, measure, export. Knows no Qt; loads torch on use."""
