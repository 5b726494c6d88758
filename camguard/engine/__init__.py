"""The decision: what a call is, what is compiled for it, and why it passes or not."""
