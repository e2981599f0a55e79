"""Scenarios: TOML files that say what to run, and the module that reads them."""
