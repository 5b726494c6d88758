"""Answers proxies that ask about a request before they forward it themselves."""
