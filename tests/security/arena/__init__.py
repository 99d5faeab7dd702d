"""Run small hostile programs inside the real sandbox, and outside of it as a positive control."""
