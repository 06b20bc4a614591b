"""Stands for a process of a server of `quick_start`: passes streams, variables and signals on, and its end back.

python -I -S quick_client.py <socket of the server> <arguments as of Python>
"""

import json
import os
import signal
import socket
import sys

line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.connect(sys.argv[1])
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: line.send(str(number).encode()))
request = {"arguments": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}
socket.send_fds(line, [json.dumps(request).encode()], [0, 1, 2])
status = int(line.recv(64) or 1)
if status < 0:  # ended by this signal
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
os._exit(status)
