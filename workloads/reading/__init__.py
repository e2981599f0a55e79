"""From a file to a clean trace: recognising the format, dropping and repairing rows, request logs, ServeGen."""
