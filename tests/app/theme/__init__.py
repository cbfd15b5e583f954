"""Tests of the window's theme."""
