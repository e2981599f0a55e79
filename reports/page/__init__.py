"""What all pages share: templates, SVG figures and escaping. It knows nothing of runs."""
