"""Runs side by side: the HTML page, Markdown, downloads and a Perfetto trace."""
