"""Authentication: access keys, signatures, and the identity header of a trusted proxy."""
