"""Ask a registry what a reference means, and fetch what it names."""
