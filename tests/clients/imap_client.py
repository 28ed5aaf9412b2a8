"""Logs in in every way imaplib knows, and sends and fetches a message of several megabytes each time."""

import hashlib
import imaplib
import random
import ssl
import sys

imaplib._MAXLINE = 10_000_000
plain_port, tls_port, certificate, user, password = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
trust = ssl.create_default_context(cafile=certificate)


def main():
    megabytes = 3
    for connect in in_the_clear, under_tls, with_starttls:
        for log_in in by_login, by_plain, by_login_mechanism, by_literals:
            client = connect()
            log_in(client)
            exchange(client, message(megabytes))
            good(client.logout(), "BYE")
            megabytes = 0
        megabytes = 8
    idle()
    refused()
    print("done")


def in_the_clear():
    return imaplib.IMAP4("127.0.0.1", plain_port, timeout=30)


def under_tls():
    return imaplib.IMAP4_SSL("127.0.0.1", tls_port, ssl_context=trust, timeout=30)


def with_starttls():
    client = in_the_clear()
    good(client.starttls(trust))
    return client


def by_login(client):
    good(client.login(user, password))


def by_plain(client):
    good(client.authenticate("PLAIN", lambda challenge: f"\0{user}\0{password}".encode()))


def by_login_mechanism(client):
    answers = {b"Username:": user, b"Password:": password}
    good(client.authenticate("LOGIN", lambda challenge: answers[challenge].encode()))


def by_literals(client):
    """LOGIN with both arguments as literals: the server must ask for each."""
    tag = client._new_tag()
    client.send(tag + b" LOGIN {%d}\r\n" % len(user))
    assert client.readline().startswith(b"+"), "no continuation for the user"
    client.send(user.encode() + b" {%d}\r\n" % len(password))
    assert client.readline().startswith(b"+"), "no continuation for the password"
    client.send(password.encode() + b"\r\n")
    while not (line := client.readline()).startswith(tag):
        assert line.startswith(b"*"), line
    assert line.split()[1] == b"OK", line
    client.state = "AUTH"


def exchange(client, sent):
    good(client.select("INBOX"))
    good(client.append("INBOX", "", None, sent))
    good(client.noop())
    number = good(client.search(None, "ALL"))[0].split()[-1]
    received = good(client.fetch(number, "(BODY.PEEK[])"))[0][1]
    assert len(received) == len(sent), (len(received), len(sent))
    assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest(), "the message came back changed"
    assert good(client.list()), "no mailboxes"
    good(client.close())


def message(megabytes):
    line = bytes(random.choices(b"abcdefghijklmnopqrstuvwxyz {}()", k=74)) + b"\r\n"
    return b"Subject: From imaplib\r\n\r\n" + line * (megabytes * 1024 * 1024 // len(line) + 1)


def idle():
    """What happens in one session is told to the other, through the gate."""
    waiting, other = under_tls(), in_the_clear()
    by_login(waiting)
    by_login(other)
    before = int(good(waiting.select("INBOX"))[0])
    tag = waiting._new_tag()
    waiting.send(tag + b" IDLE\r\n")
    assert waiting.readline().startswith(b"+"), "IDLE was not taken up"
    good(other.append("INBOX", "", None, message(0)))
    while (line := waiting.readline()) != b"* %d EXISTS\r\n" % (before + 1):
        assert line.startswith(b"* "), line
    waiting.send(b"DONE\r\n")
    while not (line := waiting.readline()).startswith(tag):
        assert line, "hung up"
    assert line.split()[1] == b"OK", line
    waiting.logout()
    other.logout()


def refused():
    """A failed login leaves the connection good for the next."""
    for connect in in_the_clear, under_tls:
        client = connect()
        try:
            client.login(user, "wrong")
        except client.error as error:
            assert "AUTHENTICATIONFAILED" in str(error), error
        else:
            raise AssertionError("let in with a wrong password")
        by_plain(client)
        exchange(client, message(0))
        client.logout()


def good(reply, wanted="OK"):
    status, content = reply
    assert status == wanted, reply
    return content


main()
