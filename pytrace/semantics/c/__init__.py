"""C as scripts and headers write it: preprocessor, tokens, declarations, layouts."""
