"""What a study costs, before it is run (``seediff plan``): work of each job, prices of work, and the bill."""
