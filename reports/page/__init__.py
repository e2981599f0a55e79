"""What every page is made of: templates, SVG figures, numbers and escaping."""
