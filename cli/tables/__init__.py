"""The tables that commands print, a file for each kind. Each is readable in 80 columns."""
