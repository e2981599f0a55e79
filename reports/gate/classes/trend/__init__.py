"""The trend class: figures of GPU replays over months."""
