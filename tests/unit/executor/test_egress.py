"""The channel between init and what decides about connections, when one of them is gone."""

import socket

from mcp_client.executor.egress import Egress
from mcp_client.network.decide import RuleSet
from mcp_client.network.engine.engine import Engine
from mcp_client.sandbox.linux.egress import DECIDED, Message, send


def test_an_init_that_ends_between_a_question_and_its_answer_is_no_failure():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    send(ours, Message(DECIDED, 1))
    egress = Egress(ours.detach(), Engine(RuleSet([]), print, {}))
    # What it has not read makes its end a reset (unix(7)).
    theirs.close()
    egress._answers.append(2)

    assert not egress._answer()
    assert egress.close() == []
