"""Tests of the engine's export."""
