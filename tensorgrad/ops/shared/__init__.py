"""What the ops of a family share; no op is defined here."""
