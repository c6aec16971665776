"""The job script of a SLURM worker that joins a running scheduler, for sweeps over more than one machine.

python -m flowsdf.report.slurm tcp://10.0.0.1:8786 --cores 16 --memory 64GB > worker.sh; sbatch --array=1-8 worker.sh
"""

import argparse

from flowsdf.data.faults import Failed
from flowsdf.report.doors import leave


def job_script(scheduler: str, *, cores: int, memory: str, walltime: str, queue: str | None = None) -> str:
    """The text of the script: so many worker processes of one thread each, which end with their scheduler."""
    try:
        from dask_jobqueue.slurm import SLURMJob
    except ImportError:
        raise Failed("a job script needs one more package: pip install dask-jobqueue") from None
    job = SLURMJob(
        scheduler=scheduler,
        name="flowsdf-${SLURM_JOB_ID}",  # expanded by the job: workers of an array need names of their own
        job_name="flowsdf",
        cores=cores,
        processes=cores,
        memory=memory,
        walltime=walltime,
        queue=queue,
        death_timeout=60,
        protocol=None,
        security=None,
        job_script_prologue=["export OMP_NUM_THREADS=1"],
    )
    return job.job_script()


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Print the job script of a SLURM worker.")
    parser.add_argument("scheduler", help="address of the dask scheduler, tcp://host:port")
    parser.add_argument("--cores", type=int, default=8)
    parser.add_argument("--memory", default="32GB", help="of the whole job")
    parser.add_argument("--walltime", default="04:00:00")
    parser.add_argument("--queue", help="the partition")
    ask = parser.parse_args(words)
    if not ask.scheduler.startswith(("tcp://", "tls://")):
        raise Failed(f"{ask.scheduler}: expected the address of a dask scheduler, tcp://host:port")
    settings = {"cores": ask.cores, "memory": ask.memory, "walltime": ask.walltime, "queue": ask.queue}
    print(job_script(ask.scheduler, **settings))
    return 0


if __name__ == "__main__":
    leave(main)
