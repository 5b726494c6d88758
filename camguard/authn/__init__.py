"""Who calls: access keys, signatures, the identity header of a trusted proxy."""
