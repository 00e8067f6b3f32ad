"""Lets the scheduler sleep until a job ends.

Snakemake limits how many jobs start in a second, to 100 by default, and no setting switches that off. To keep the
limit it looks at every waiting job again a second after each look, and once more for each job that has ended: on the
embedded study that takes a tenth of a processor. On one machine its cores are the limit.
"""


def sleep_between_jobs():
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
