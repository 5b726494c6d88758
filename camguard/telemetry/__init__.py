"""Metrics and the decision log: observers, handed in, never reached for."""
