"""The socket that a server of ours listens on."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, so that a taken port is known before anything is opened. Port 0 takes a free one.

    Raises:
        ValueError: the port is taken or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is named; with it every answer takes 40 ms longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
    except OSError as error:
        listener.close()
        raise ValueError(f"port {port} on {host} cannot be used ({error.strerror}); choose another: --port") from error
    return listener
