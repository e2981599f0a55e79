"""A result as JUnit XML: failures exactly if something got worse or changed, errors exactly if something is broken."""

from xml.etree import ElementTree

from ..page.escaping import line
from .result import Check, GateResult, Kind, Outcome
from .shown import sentence, title

_ELEMENTS = {
    Outcome.REGRESSED: "failure",
    Outcome.CHANGED: "failure",
    Outcome.BROKEN: "error",
    Outcome.INCONCLUSIVE: "skipped",
    Outcome.WAIVED: "skipped",
}


def junit_xml(result: GateResult) -> bytes:
    """One suite a class, one case a check; a gate that checked nothing is one error."""
    root = ElementTree.Element("testsuites", name="warpgroup gate")
    for kind in Kind:
        checks = [check for check in result.checks if check.kind is kind]
        if checks:
            root.append(_suite(kind, checks, result))
    if not result.checks:
        suite = ElementTree.SubElement(root, "testsuite", name="gate", timestamp=line(result.date, 40))
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name="anything is checked", time="0")
        ElementTree.SubElement(case, "error", message="nothing was checked", type="broken")
        _count(suite)
    _count(root)
    root.set("time", f"{result.seconds:.3f}")
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(kind: Kind, checks: list[Check], result: GateResult) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=kind, timestamp=line(result.date, 40))
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", classname=f"gate.{kind}", name=title(check), time="0")
        said = sentence(check)
        if element := _ELEMENTS.get(check.outcome):
            ElementTree.SubElement(case, element, message=said, type=check.outcome).text = said
        else:
            ElementTree.SubElement(case, "system-out").text = said
    _count(suite)
    return suite


def _count(element: ElementTree.Element) -> None:
    """Counted from what is there, so that attributes and elements cannot differ."""
    for attribute, name in (
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ):
        element.set(attribute, str(sum(1 for _ in element.iter(name))))
