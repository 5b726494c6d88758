"""The enforcement point: from a request to an outcome."""
