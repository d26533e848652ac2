"""Small programs that the demonstration runs inside pods. Standard library only: they are handed to
the pod's own Python as text, the way an attacker would bring his tools."""
