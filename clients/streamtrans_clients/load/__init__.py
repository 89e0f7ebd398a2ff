"""Many live sessions at once, from one process: what each says, how it is said on the wire, how late the answers are.

It knows no server process and passes no judgement: lags and faults go to the caller.
"""

from streamtrans_clients.load.generator import Heard, Job, generate

__all__ = ["Heard", "Job", "generate"]
