"""rayml: from a table or an event log to a tuned, explained, autoscaling endpoint."""

__version__ = "0.1.0"
