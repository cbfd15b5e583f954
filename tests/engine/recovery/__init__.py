"""Tests of engine/recovery."""
