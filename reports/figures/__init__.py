"""The figures of runs, one module per figure, and the time axis that they share."""
