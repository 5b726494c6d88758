"""The process: relay, admin, servers. The only place that needs the `serve` extra."""
