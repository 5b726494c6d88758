"""A folder of policies and principals becomes one bundle, whole or not at all."""
