"""What a set of labelled pictures holds, and the config that it proposes."""
