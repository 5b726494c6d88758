"""Records of requests, and their observers: metrics and the decision log.

Observers are handed to the guard; the guard imports none of them.
"""
