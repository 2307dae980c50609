"""The coordination core: scenarios, verbs, and a model that judges random histories."""
