"""Switch the sandbox's controls off one by one, and see which tests notice."""
