"""A result as JUnit XML: a failure for each regressed or changed check, an error for each broken one."""

from xml.etree import ElementTree

from ...page.escaping import line
from ..classes.registry import by_class
from ..result import Check, GateResult, Outcome
from ..wording import check_sentence, check_title

_ELEMENTS = {
    Outcome.REGRESSED: "failure",
    Outcome.CHANGED: "failure",
    Outcome.BROKEN: "error",
    Outcome.INCONCLUSIVE: "skipped",
    Outcome.WAIVED: "skipped",
}


def junit_xml(result: GateResult) -> bytes:
    """One suite for each class, one case for each check; a result without checks is one error."""
    root = ElementTree.Element("testsuites", name="warpgroup gate")
    for kind, checks in by_class(result.checks):
        root.append(_suite(kind, checks, result))
    if not result.checks:
        suite = ElementTree.SubElement(root, "testsuite", name="gate", timestamp=line(result.date, 40))
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name="at least one check", time="0")
        ElementTree.SubElement(case, "error", message="nothing was checked", type="broken")
        _count(suite)
    _count(root)
    root.set("time", f"{result.seconds:.3f}")
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(kind: str, checks: list[Check], result: GateResult) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=line(kind, 40), timestamp=line(result.date, 40))
    for check in checks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"gate.{line(kind, 40)}", name=check_title(check), time="0"
        )
        said = check_sentence(check)
        if element := _ELEMENTS.get(check.outcome):
            ElementTree.SubElement(case, element, message=said, type=check.outcome).text = said
        else:
            ElementTree.SubElement(case, "system-out").text = said
    _count(suite)
    return suite


def _count(element: ElementTree.Element) -> None:
    """Set the counts from the elements, so that the two always agree."""
    for attribute, name in (
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ):
        element.set(attribute, str(sum(1 for _ in element.iter(name))))
