"""The policy language. Knows no request and no clock."""
