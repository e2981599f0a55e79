"""The `warpgroup` command: one module a verb; options and terminal beside them."""
