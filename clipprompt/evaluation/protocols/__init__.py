"""From a protocol to its jobs: what is learnt, and what that is tested on."""
