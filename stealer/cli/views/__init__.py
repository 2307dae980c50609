"""What can be seen of an account: each module reads one thing and answers with records.

Nothing here prints or knows a terminal. Reading never trusts what it finds: anybody may have
written into Redis by hand, so a value that cannot be read becomes a problem in words, and a key
of the wrong type an error that names the key.
"""
