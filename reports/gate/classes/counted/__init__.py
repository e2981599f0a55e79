"""The counted class: instructions, allocations and copied bytes of the core's benchmark program."""
