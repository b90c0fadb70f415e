"""From formula text to frozen terms, without data: tokens, tree, terms, random terms, names."""
