"""Shows at once what failed jobs said, and leaves no lock behind when the terminal is closed.

Snakemake's own account of a failed job, which profiles/default keeps quiet, is long and does not hold what the job said.
"""

import logging
import signal
from contextlib import suppress

from snakemake_interface_logger_plugins.common import LogEvent

from seediff.workflow.status import failed_job


class FailedJobs(logging.Handler):
    """Shows how the log ends of each job that Snakemake reports as failed."""

    def emit(self, record):
        if getattr(record, "event", None) is LogEvent.JOB_ERROR and record.log:
            said = failed_job(record.rule_name, Path(record.log[0]), record.rule_msg or "")
            with suppress(OSError):  # of a terminal that was closed
                print(said, file=sys.stderr, flush=True)


logger.addHandler(FailedJobs())

# As after SIGTERM, jobs that still run are waited for, and the lock is taken away. (nohup has it ignored.)
if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


# What went wrong stands in the job's own log; Snakemake itself shows only the command.
onerror:
    shell("seediff status --study {study:q} || true", study=str(config["study"]))
