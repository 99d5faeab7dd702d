"""The channel between init and what decides about connections, when one of them is gone."""

import select
import socket

from mcp_client.executor.egress import Egress
from mcp_client.network.decide import RuleSet
from mcp_client.network.linux.engine import Engine
from mcp_client.sandbox.linux.egress import LISTENER, Message, send


def test_an_init_that_ends_without_reading_its_answers_is_no_failure():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    egress = Egress(ours.detach(), Engine(RuleSet([]), print, {}))
    poll = select.poll()
    egress.watch(poll)
    send(theirs, Message(LISTENER, 1))
    egress.move(poll, dict(poll.poll(0)))
    # More than one turn takes, so that the end is not seen before the next answer.
    for call in range(100):
        send(theirs, Message(LISTENER, call))
    theirs.close()

    while ready := dict(poll.poll(0)):
        egress.move(poll, ready)

    assert egress.close() == []
