"""The weaker sandbox for hosts that refuse user namespaces: Landlock, seccomp and rlimits."""
