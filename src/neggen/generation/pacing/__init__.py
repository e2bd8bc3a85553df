"""How fast a server may be asked: concurrency, rates, waits after failures, outages."""
