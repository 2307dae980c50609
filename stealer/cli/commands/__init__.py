"""One module for each group of commands: options in, a view, words out."""
