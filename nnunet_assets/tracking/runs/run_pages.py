"""Whether a server shows a run now: a link that leads nowhere is worse than none."""

import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit

from nnunet_assets.tracking.store.destination import Destination, is_local

SECONDS = 3.0


def shows_run(url: str, destination: Destination, run_id: str) -> bool:
    """Says whether the server of a link answers and, where it shows the project's own store, knows the run.

    On the port of MLflow's page may be that of another project, or another program.

    Args:
        url: The link to the run's page.
        destination: Where the run went. A tracking server took it a moment ago: it need not be asked again.
        run_id: Of the run.
    """
    if destination.tracking_uri.startswith("http"):
        return True
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/api/2.0/mlflow/runs/get?run_id={run_id}"
    # Whatever proxy the environment names, it does not lead to this machine.
    proxies = urllib.request.ProxyHandler({}) if is_local(url) else urllib.request.ProxyHandler()
    try:
        with urllib.request.build_opener(proxies).open(address, timeout=SECONDS) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException, ValueError):
        return False
