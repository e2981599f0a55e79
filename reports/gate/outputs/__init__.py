"""The forms of a result: terminal, JUnit, GitHub annotations, Markdown and an HTML page."""
