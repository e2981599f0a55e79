"""The timed class: base and head run the same benchmarks side by side, and statistics decide which is slower.

From the bottom: `sampler.py` runs in the measured process, `side_process.py` starts and drives it, `pairs.py` takes
samples of two sides in turn, `statistics.py` estimates the slow-down, `decision.py` decides, and the gate calls
`timed_class.py`. `noise.py` and `certification.py` measure how well that works on a machine.
"""
