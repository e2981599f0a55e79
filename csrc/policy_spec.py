"""Policies as users write them: `ffd`, `count-static(n=32, timeout_s=2)`, `paged,ffd(margin=0.01)`."""

import re
from dataclasses import dataclass, replace

from ..errors import InvalidScenario, UnknownName
from ._core import Policy, policy_catalogue

_SPEC = re.compile(r"^(?P<id>[a-z][a-z0-9-]*)(?:\((?P<parameters>[^()]*)\))?$")


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A policy's id and its given parameters; other parameters keep their defaults."""

    id: str
    parameters: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        if not self.parameters:
            return self.id
        return f"{self.id}({', '.join(f'{name}={value:g}' for name, value in self.parameters)})"

    @property
    def slug(self) -> str:
        """The name of the policy's run folder."""
        return "-".join([self.id, *(f"{name}{value:g}" for name, value in self.parameters)])

    @property
    def counts_requests(self) -> bool:
        """Whether the policy's parameter `n` caps a batch at `n` requests, as in `count-static`.

        A parameter `n` with another meaning does not set the cap.
        """
        n = self.values.get("n")
        return n is not None and self.build().max_requests == n

    @property
    def fixes_count(self) -> bool:
        """Whether the number of requests in a batch was given."""
        return any(name == "n" for name, _ in self.parameters)

    @property
    def values(self) -> dict[str, float]:
        """All parameters, with defaults for those that were not given."""
        info = next(info for info in policy_catalogue() if info.id == self.id)
        return {parameter.name: parameter.default for parameter in info.parameters} | dict(self.parameters)

    def with_parameters(self, **values: float) -> "PolicySpec":
        """The same policy with these values. A value that the policy has already is not written again."""
        own = self.values
        changed = {name: float(value) for name, value in values.items() if value != own[name]}
        return replace(self, parameters=tuple({**dict(self.parameters), **changed}.items()))

    def with_count(self, n: int) -> "PolicySpec":
        """The same policy with `n` requests in a batch."""
        others = tuple(item for item in self.parameters if item[0] != "n")
        return replace(self, parameters=(("n", float(n)), *others))

    def build(self) -> Policy:
        """The core's policy.

        Raises:
            UnknownName: there is no policy of this id.
            InvalidScenario: a parameter is unknown or out of range.
        """
        known = [info.id for info in policy_catalogue()]
        if self.id not in known:
            raise UnknownName("policy", self.id, known)
        try:
            return Policy(self.id, dict(self.parameters))
        except ValueError as error:
            raise InvalidScenario(str(error)) from None


def parse_policy(text: str) -> PolicySpec:
    """Read one policy.

    Raises:
        UnknownName: there is no policy of this id.
        InvalidScenario: the text has another form, or a parameter is unknown or out of range.
    """
    match = _SPEC.match(text.strip())
    if not match:
        raise InvalidScenario(f"policy '{text.strip()}' is not of the form NAME or NAME(key=value, ...)")
    given: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in (match["parameters"] or "").split(","))):
        name, equals, value = (part.strip() for part in item.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not equals or number != number:
            raise InvalidScenario(f"policy '{text.strip()}': '{item}' is not of the form key=number")
        if name in given:
            raise InvalidScenario(f"policy '{text.strip()}': {name} is given twice")
        given[name] = number
    spec = PolicySpec(match["id"], tuple(given.items()))
    spec.build()
    return spec


def parse_policies(text: str) -> list[PolicySpec]:
    """Read a comma-separated list of policies; commas inside parentheses belong to the parameters."""
    specs = [parse_policy(part) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    if not specs:
        raise InvalidScenario("no policy is named: `warpgroup policies` lists them")
    repeated = {str(spec) for spec in specs if specs.count(spec) > 1}
    if repeated:
        raise InvalidScenario(f"policy '{sorted(repeated)[0]}' is named twice")
    return specs
