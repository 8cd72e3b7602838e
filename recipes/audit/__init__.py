"""The audit on trial."""
