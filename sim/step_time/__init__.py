"""How long a step takes: an analytic roofline, or a profile calibrated on a device."""
