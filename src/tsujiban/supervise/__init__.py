"""Child processes: started, watched, restarted with back-off, logged."""
