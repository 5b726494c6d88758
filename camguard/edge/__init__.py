"""From HTTP to a call, and from a decision back to HTTP."""
