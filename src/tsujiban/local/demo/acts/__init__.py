"""The ten acts, in order. Each is a function of the world and the stage."""
