"""The keeper: one elected process per account that reads the broker once for everybody.

It publishes the account, quotes and session, carries order updates to the ledger, mends what
differs, and finishes what crashed processes left. Any number may run; one leads.
"""
