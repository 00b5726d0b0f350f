"""Print the first of COUNT consecutive TCP ports that are free on 127.0.0.1.

    python3 free_ports.py COUNT

Ports are taken below Linux's ephemeral range (32768 and up), so that an outgoing connection of
another program cannot take one between this check and the server's bind.
"""
import random
import socket
import sys


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main():
    count = int(sys.argv[1])
    for _ in range(1000):
        first = random.randrange(15000, 32000 - count)
        if all(is_free(port) for port in range(first, first + count)):
            print(first)
            return
    sys.exit("no run of free ports found")


if __name__ == "__main__":
    main()
