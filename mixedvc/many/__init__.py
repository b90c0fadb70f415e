"""Many responses, one specification: what does not depend on the response is shared."""
