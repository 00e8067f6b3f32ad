"""What jobs read that no job makes: a hub's model is in their specs by its commit, a real data set by its fingerprint."""

from seediff.workflow.sources import check_commits, write_sources
from seediff.workflow.study import write_snapshot


# Jobs plan anew: they read what the process that began the run notes here.
onstart:
    sleep_between_jobs()
    try:
        check_commits(WRITTEN, SOURCES.commits)
        write_sources(Path(RESULTS), SOURCES)
        write_snapshot(Path(layout.fill(layout.SNAPSHOT, study=STUDY.name)), WRITTEN)
    except SeediffError as error:
        sys.exit(f"error: {error}")
