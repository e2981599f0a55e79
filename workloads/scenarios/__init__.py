"""Scenarios: TOML files that say what to run, and the module that reads them."""

from .scenario import Scenario, load_scenario, scenario_names

__all__ = ["Scenario", "load_scenario", "scenario_names"]
