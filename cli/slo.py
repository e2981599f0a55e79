"""The service-level objective as a user writes it: `ttft=10s,tpot=100ms`."""

import re

from ..errors import InvalidScenario, quoted
from ..experiment import Slo


def parse_slo(text: str, default: Slo) -> Slo:
    """Read an objective; a limit that is not named keeps its default.

    Raises InvalidScenario: the text has another form, or a limit is 0.
    """
    limits = {"ttft": default.ttft_s, "tpot": default.tpot_s}
    for item in text.split(","):
        match = re.fullmatch(r"\s*(ttft|tpot)\s*=\s*([0-9]*\.?[0-9]+)\s*(ms|s)?\s*", item)
        if not match:
            raise InvalidScenario(f"the SLO {quoted(text)} is not of the form ttft=10s,tpot=100ms")
        limits[match[1]] = float(match[2]) * (0.001 if match[3] == "ms" else 1)
    return Slo(limits["ttft"], limits["tpot"])
