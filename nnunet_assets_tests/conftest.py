"""What holds for every test."""

from hypothesis import settings

# A shared machine is slow now and then: a timing is no property of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
