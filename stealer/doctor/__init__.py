"""What is wrong with a deployment, and what to do about it.

A check is a function that looks at one thing and yields findings; ``examine`` runs them all. What
cannot be looked at is a finding too: nothing here ends in an exception because a part is down.
Checks read; none of them changes anything.
"""

from stealer.doctor.examine import examine
from stealer.doctor.finding import Finding, Level
from stealer.doctor.patient import Patient

__all__ = ["Finding", "Level", "Patient", "examine"]
