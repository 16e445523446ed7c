import socket

from nnunet_assets.processes.host_name import host_name


def test_the_name_is_the_kernel_s() -> None:
    assert host_name() == socket.gethostname()
