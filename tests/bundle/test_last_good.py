"""The folder of the last good bundles."""
